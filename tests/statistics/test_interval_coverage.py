"""The coverage that the documentation states is measured again, with fewer simulations."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from experiments.interval_coverage import POPULATIONS, RUNS, simulate
from tests.scores import share_of

ROOT = Path(__file__).parents[2]
STUDY = json.loads((ROOT / "benchmarks/results/interval-coverage.json").read_text())
STATED = {(row["population"], row["runs"]): row for row in STUDY["rows"]}
SIMULATIONS = 300


def test_every_population_and_size_is_stated():
    assert set(STATED) == {(name, runs) for name in POPULATIONS for runs in RUNS}
    assert STUDY["simulations"] >= 10_000


@pytest.mark.parametrize("runs", RUNS)
@pytest.mark.parametrize("name", POPULATIONS)
def test_coverage_is_what_the_documentation_states(name, runs):
    row, stated = simulate(name, runs, SIMULATIONS, np.random.default_rng(runs)), STATED[name, runs]
    assert share_of(row["coverage"] * SIMULATIONS, SIMULATIONS, stated["coverage"])
    assert ("tolerance" in row) == (runs >= 46)
    if runs >= 46:
        assert share_of(row["tolerance"] * SIMULATIONS, SIMULATIONS, stated["tolerance"])


@pytest.mark.parametrize("stated", [row for row in STUDY["rows"] if "tolerance" in row], ids=str)
def test_the_tolerance_interval_has_its_confidence(stated):
    """Its exact confidence, for any population, is P(Binomial(runs, 0.9) < distance of its order statistics)."""
    promised = stats.binom.cdf(stats.binom.ppf(0.95, stated["runs"], 0.9), stated["runs"], 0.9)
    assert promised >= 0.95
    assert share_of(stated["tolerance"] * STUDY["simulations"], STUDY["simulations"], promised)


@pytest.mark.parametrize("name", POPULATIONS)
def test_draws_have_the_stated_mean_and_distribution(name):
    population = POPULATIONS[name]
    scores = population.draw(np.random.default_rng(0), (100, 1_000)).ravel()
    assert abs(scores.mean() - population.mean) < 4 * scores.std() / np.sqrt(scores.size)
    assert stats.kstest(scores, population.share_below).pvalue > 1e-3


def test_the_docs_state_these_numbers():
    page = (ROOT / "docs" / "statistics.md").read_text()
    for name in POPULATIONS:
        shares = [f"{100 * STATED[name, runs]['coverage']:.1f} %" for runs in RUNS]
        assert f"| {name} | {' | '.join(shares)} |" in page
