"""What does it cost to treat a time limit as a termination? Learners with and without the fault.

python experiments/time_limits.py, an estimated twenty minutes on two cores

Half of the runs are trained in an environment whose time limit terminates the episode, so that they do not
bootstrap there. A line is the mean final return without the fault, and what the fault adds to it, with 95 %
intervals.
"""

import numpy as np
import pandas as pd

from envs.wrappers import TerminalLimit
from jaxrl import enable_compilation_cache, preset, train, use_all_cores
from jaxrl.cli.script import OPTIONS, Options
from jaxrl.cli.usage import run
from jaxrl.statistics import difference_interval, mean_interval
from jaxrl.text import estimate

# (algorithm, environment) -> environment steps: fewer than the preset's where learning shows earlier.
PAIRS = {
    ("q_learning", "GridWorld-v0"): 1_000,
    ("q_learning", "FrozenLake-v1"): 200_000,
    ("dqn", "CartPole-v1"): 100_000,
    ("a2c", "CartPole-v1"): 200_000,
    ("ppo", "CartPole-v1"): 200_000,
    ("ppo", "Pendulum-v1"): 409_600,
    ("td3", "Pendulum-v1"): 10_000,
    ("sac", "Pendulum-v1"): 10_000,
}


def main(
    seeds: str | None = None, steps: int | None = None, out: str | None = None, quick: bool = False
) -> None:
    options, rng = Options(seeds, steps, out, quick), np.random.default_rng(0)
    enable_compilation_cache()
    use_all_cores()
    rows = []
    for (algorithm, name), budget in [*PAIRS.items()][:1] if quick else PAIRS.items():
        study = preset(algorithm, name)
        env = study["environment"]
        right, wrong = (
            train(
                study["algorithm"],
                each,
                **options.size(seeds=64, steps=budget, evaluations=10, fresh=True),
                evaluation_episodes=study["evaluation_episodes"],
                out=f"{options.folder('time_limits')}/{algorithm}-{name}-{kind}",
            ).final()
            for kind, each in (("right", env), ("wrong", TerminalLimit(env=env)))
        )
        cost = estimate(difference_interval(wrong.to_numpy(), right.to_numpy(), rng))
        rows.append(
            {"": f"{algorithm} {name}", "right": estimate(mean_interval(right, rng)), "fault adds": cost}
        )
    print(pd.DataFrame(rows).to_string(index=False))


if __name__ == "__main__":
    run(main, "experiments/time_limits.py", text=__doc__ + OPTIONS)
