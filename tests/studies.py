"""Studies that were never trained: tables made by numpy, for what is said and drawn of results."""

import numpy as np
import pandas as pd

from jaxrl.store.results import Results


def made_study(path, scores, points=5, solved=475.0, metrics=("eval_return", "return"), **parameters):
    """A study whose runs climb from 0 to their scores in equal steps.

    scores: {(environment, learning rate): final returns of its runs}, NaN for a run that failed. parameters:
    further columns of runs, one value or one a run.
    """
    rows = [
        {"environment": environment, "algorithm": "ppo", "seed": seed, "learning_rate": rate, "score": score}
        for (environment, rate), values in scores.items()
        for seed, score in enumerate(values)
    ]
    runs = pd.DataFrame(rows)
    runs.insert(0, "run", np.arange(len(runs)))
    final = runs.pop("score").to_numpy(float)
    steps = np.linspace(0, 100_000, points).astype(int)
    values = final[:, None] * np.linspace(0, 1, points)
    runs = runs.assign(
        status=np.where(np.isnan(final), "failed", "complete"), steps=100_000, solved_return=solved
    )
    curves = [
        pd.DataFrame(
            {
                "run": np.repeat(runs.run.to_numpy(), points),
                "step": np.tile(steps, len(runs)),
                "metric": metric,
                "value": values.ravel(),
            }
        )
        for metric in metrics
    ]
    manifest = {
        "status": "complete",
        "jaxrl": "0.1.0",
        "created": "2026-01-01T00:00:00+00:00",
        "study": {"evaluation_episodes": 10, "prng": "threefry2x32", "seeds": [*range(runs.seed.max() + 1)]},
        "plan": {"width": 64, "programs": 1, "batches": 1, "devices": 1},
        "machine": {"jax": "0.10.2", "python": "3.11.9", "device": "cpu"},
        "seconds": [{"runs": runs.run.to_list(), "train": 2.0}],
    }
    return Results(path, manifest, runs.assign(**parameters), pd.concat(curves, ignore_index=True))


def full(_):
    """In the place of os.fsync, as if the disk were full."""
    raise OSError(28, "No space left on device")
