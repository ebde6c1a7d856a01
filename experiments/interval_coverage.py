"""How often does a 95 % interval hold the truth? Simulated populations of runs whose mean is known.

python experiments/interval_coverage.py [--simulations N] [--json FILE], five minutes on one core

Of the interval of the mean: the share of simulated studies in which it holds the population's mean, to be
95 %. Of the tolerance interval (90 % of future runs with 95 % confidence): the share in which it does hold
at least 90 % of the population, to be at least 95 %; it exists from 46 runs on.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from jaxrl.statistics import RESAMPLES, mean_interval, share_interval, tolerance_interval

RUNS = (10, 30, 100, 300)
FAILING = 0.1  # share of runs that learn nothing


class Population(NamedTuple):
    draw: Callable[[np.random.Generator, tuple[int, int]], np.ndarray]  # scores of a shape
    share_below: Callable[[np.ndarray], np.ndarray]  # its distribution function
    mean: float


def failing(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Scores around 1, but around 0 for the runs that fail."""
    return rng.normal(np.where(rng.random(shape) < FAILING, 0.0, 1.0), 0.1)


POPULATIONS = {
    "normal": Population(lambda rng, shape: rng.normal(size=shape), stats.norm.cdf, 0.0),
    "skewed (exponential)": Population(lambda rng, shape: rng.exponential(size=shape), stats.expon.cdf, 1.0),
    "10 % of seeds fail": Population(
        failing,
        lambda x: FAILING * stats.norm.cdf(x, 0, 0.1) + (1 - FAILING) * stats.norm.cdf(x, 1, 0.1),
        1 - FAILING,
    ),
}


def simulate(name: str, runs: int, simulations: int, rng: np.random.Generator) -> dict[str, Any]:
    """The shares of simulated studies of so many runs in which the two intervals hold what they promise."""
    population = POPULATIONS[name]
    scores = population.draw(rng, (simulations, runs))
    intervals = np.array([mean_interval(study, rng)[1:] for study in scores])  # [simulations, low and high]
    held = (intervals[:, 0] <= population.mean) & (population.mean <= intervals[:, 1])
    coverage = share_interval(int(held.sum()), simulations)
    row = {"population": name, "runs": runs, **coverage.columns("coverage")}
    if tolerance_interval(scores[0]):
        bounds = np.array([tolerance_interval(study) for study in scores])
        held = population.share_below(bounds[:, 1]) - population.share_below(bounds[:, 0]) >= 0.9
        row |= share_interval(int(held.sum()), simulations).columns("tolerance")
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--simulations", type=int, default=10_000, help="studies of each kind")
    parser.add_argument("--json", type=Path, help="where to write the table")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    rows = [simulate(name, runs, arguments.simulations, rng) for name in POPULATIONS for runs in RUNS]
    if arguments.json:
        study = {"simulations": arguments.simulations, "resamples": RESAMPLES, "rows": rows}
        arguments.json.write_text(json.dumps(study, indent=1) + "\n")
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.3f}".format))


if __name__ == "__main__":
    main()
