"""How often does a 95 % interval hold the truth? Simulated populations of runs whose mean is known.

python experiments/interval_coverage.py, five minutes on one core

The column "coverage" is the share of simulated studies in which the interval of the mean holds the
population's mean; it should be 95 %. The column "tolerance" is the share in which the tolerance interval (for
90 % of future runs, with 95 % confidence) holds at least 90 % of the population; it should be at least 95 %.
The tolerance interval exists from 46 runs on.
"""

from collections.abc import Callable
from json import dumps
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from jaxrl.cli.script import OPTIONS, writable
from jaxrl.cli.usage import run
from jaxrl.statistics import RESAMPLES, mean_interval, share_interval, tolerance_interval
from jaxrl.study.seeds import require_count

RUNS = (10, 30, 100, 300)
FAILING = 0.1  # share of runs that learn nothing
SIMULATIONS, FEW_SIMULATIONS = 10_000, 100
SIMULATIONS_OPTION = f"    simulations (INT): studies of each kind; {SIMULATIONS:,} if not given\n"


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


def main(simulations: int | None = None, json: str | None = None, quick: bool = False) -> None:
    default = FEW_SIMULATIONS if quick else SIMULATIONS
    number = require_count("simulations", default if simulations is None else simulations)
    file = writable(json)
    rng = np.random.default_rng(0)
    rows = [simulate(name, runs, number, rng) for name in POPULATIONS for runs in RUNS]
    if file:
        study = {"simulations": number, "resamples": RESAMPLES, "rows": rows}
        file.write_text(dumps(study, indent=1) + "\n")
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.3f}".format))


if __name__ == "__main__":
    run(main, "experiments/interval_coverage.py", text=__doc__ + OPTIONS + SIMULATIONS_OPTION)
