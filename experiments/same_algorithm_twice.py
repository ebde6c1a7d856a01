"""How often does one algorithm seem to differ from itself? Groups of seeds of PPO (Henderson et al. 2018).

python experiments/same_algorithm_twice.py, an estimated five minutes on two cores

The seeds are split at random into pairs of groups, many times. The column "different" is the share of pairs
that Welch's test calls different (p < 0.05); 5 % is what it promises. "gap" is the difference of means that
one pair in twenty exceeds, and "means" holds 95 % of the groups' means.
"""

import numpy as np
import pandas as pd
from scipy import stats

from envs import CartPole
from jaxrl import InputError, enable_compilation_cache, train, use_all_cores, write_report
from jaxrl.algorithms import PPO
from jaxrl.cli.script import OPTIONS, Options
from jaxrl.cli.usage import run
from jaxrl.statistics import share_interval
from jaxrl.text import number, percent

GROUPS = (2, 5, 10, 30, 100)  # seeds of a group
PAIRS = 2_000


def compared(scores: np.ndarray, size: int, rng: np.random.Generator) -> dict[str, str]:
    """What pairs of disjoint groups of `size` runs look like. scores: [runs]."""
    drawn = np.stack([rng.permutation(scores)[: 2 * size] for _ in range(PAIRS)]).reshape(PAIRS, 2, size)
    p_values = stats.ttest_ind(drawn[:, 0], drawn[:, 1], axis=1, equal_var=False).pvalue
    means = drawn.mean(axis=2)
    return {
        "seeds": str(size),
        "different": percent(share_interval(int((p_values < 0.05).sum()), PAIRS)),
        "gap": number(np.quantile(abs(means[:, 0] - means[:, 1]), 0.95)),
        "means": " to ".join(number(each) for each in np.quantile(means, [0.025, 0.975])),
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
    rows = [compared(scores, group, rng) for group in GROUPS if 2 * group <= len(scores)]
    print(f"{len(scores)} seeds of PPO on CartPole, {size['steps']:,} steps: mean {number(scores.mean())}")
    print(pd.DataFrame(rows).to_string(index=False))
    print(f"report: {write_report(results.path)}")


if __name__ == "__main__":
    run(main, "experiments/same_algorithm_twice.py", text=__doc__ + OPTIONS)
