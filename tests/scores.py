"""What the tests of statistics share: score tables, a study's tables, and golden numbers."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

GOLDEN = json.loads((Path(__file__).parent / "golden" / "statistics.json").read_text())


def score_table(scores):
    """A score table from {(environment, setting): scores of its runs}; seeds count from 0 in each."""
    rows = [
        {"environment": environment, "setting": setting, "seed": seed, "score": score}
        for (environment, setting), values in scores.items()
        for seed, score in enumerate(values)
    ]
    table = pd.DataFrame(rows)
    table.insert(0, "run", np.arange(len(table)))
    return table


def runs_table(statuses, **columns):
    """The runs of a study in one environment, of the given statuses."""
    runs = {"run": np.arange(len(statuses)), "environment": "CartPole-v1", "algorithm": "ppo"}
    return pd.DataFrame(runs | {"seed": np.arange(len(statuses)), "status": statuses} | columns)


def curve_table(curves, metric="eval_return"):
    """Tidy curves from one {step: value} a run, in a shuffled order."""
    rows = [
        {"run": run, "step": step, "metric": metric, "value": value}
        for run, points in enumerate(curves)
        for step, value in points.items()
    ]
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


def share_of(successes, trials, expected, sds=4):
    """Whether a share that was counted agrees with the expected one within binomial noise."""
    return abs(successes / trials - expected) <= sds * np.sqrt(expected * (1 - expected) / trials)
