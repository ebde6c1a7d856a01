"""How many seeds does a study need? Coverage of intervals and power of tests, from 1,000 real runs.

python experiments/how_many_seeds.py, an estimated six minutes on two cores; it reads the runs of
same_algorithm_twice.py if both have the same --out

The runs are the population. A simulated study draws some of them with replacement. "coverage" is the share of
studies whose 95 % interval holds the population's mean. The other columns are the power of Welch's test: the
share of studies of two groups that find a difference of so many points of return, if one group's scores are
those of the other and so many points more, even where that exceeds CartPole's limit.
"""

import numpy as np
import pandas as pd

from envs import CartPole
from jaxrl import InputError, enable_compilation_cache, train, use_all_cores
from jaxrl.algorithms import PPO
from jaxrl.cli.script import OPTIONS, Options
from jaxrl.cli.usage import run
from jaxrl.statistics import mean_interval, pilot_power, share_interval
from jaxrl.text import number, percent

SEEDS = (5, 10, 30, 100, 300)
EFFECTS = (5, 10, 25, 50)  # points of CartPole's return
STUDIES, FEW_STUDIES = 1_000, 50


def described(scores: np.ndarray, runs: int, studies: int, rng: np.random.Generator) -> dict[str, str]:
    """Coverage and power of studies of so many runs. scores: [population]."""
    intervals = [mean_interval(rng.choice(scores, runs), rng) for _ in range(studies)]
    held = sum(low <= scores.mean() <= high for _, low, high in intervals)
    powers = {f"power {effect}": pilot_power(scores, scores + effect, runs, rng) for effect in EFFECTS}
    return {
        "seeds": str(runs),
        "coverage": percent(share_interval(held, studies)),
        **{name: f"{100 * power:.0f} %" for name, power in powers.items()},
    }


def main(
    seeds: str | None = None, steps: int | None = None, out: str | None = None, quick: bool = False
) -> None:
    options = Options(seeds, steps, out, quick)
    enable_compilation_cache()
    use_all_cores()
    size = options.size(seeds=1_000, steps=50_000, evaluations=10)
    results = train(PPO(), CartPole(), **size, out=options.folder("same_algorithm_twice"))
    scores, rng = results.final().to_numpy(), np.random.default_rng(0)
    if np.isnan(scores).any():
        raise InputError("a run failed, so there is no mean of all runs to compare")
    print(f"{len(scores)} seeds of PPO on CartPole: mean {number(scores.mean())}, sd {number(scores.std())}")
    studies = FEW_STUDIES if quick else STUDIES
    print(pd.DataFrame([described(scores, runs, studies, rng) for runs in SEEDS]).to_string(index=False))


if __name__ == "__main__":
    run(main, "experiments/how_many_seeds.py", text=__doc__ + OPTIONS)
