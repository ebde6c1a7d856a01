"""Do the algorithms learn what they should? 64 agents each, then one report.

python experiments/quickstart.py, half a minute on two cores
"""

import numpy as np

from envs import CartPole, FrozenLake, GridWorld
from jaxrl import enable_compilation_cache, train, use_all_cores, write_report
from jaxrl.algorithms import PPO, QLearning
from jaxrl.cli.script import OPTIONS, Options
from jaxrl.cli.usage import run
from jaxrl.statistics import mean_interval


def main(
    seeds: str | None = None, steps: int | None = None, out: str | None = None, quick: bool = False
) -> None:
    options = Options(seeds, steps, out, quick)
    folder = options.folder("quickstart")
    enable_compilation_cache()
    use_all_cores()
    studies = [
        train(
            QLearning(),
            GridWorld(),
            **options.size(seeds=64, steps=5_000),
            evaluation_episodes=1,  # nothing is random once the policy is greedy
            out=f"{folder}/gridworld",
        ),
        train(
            # On ice the outcome of an action is random: a shrinking step size averages over it.
            QLearning(learning_rate_decay=0.01, epsilon_end=0.1),
            FrozenLake(),
            **options.size(seeds=64, steps=200_000, evaluations=20),
            evaluation_episodes=400,  # enough to tell 0.74, the optimum, from 0.70, Gymnasium's threshold
            out=f"{folder}/frozenlake",
        ),
        train(
            PPO(learning_rate=1e-3),  # faster than the default, for a short budget
            CartPole(),
            **options.size(seeds=64, steps=80_000, evaluations=16),
            out=f"{folder}/cartpole",
        ),
    ]
    for results in studies:
        mean, low, high = mean_interval(results.final().to_numpy(), np.random.default_rng(0))
        print(
            f"{results.path}: mean return {mean:.4g} [{low:.4g}, {high:.4g}] over {len(results.runs)} seeds"
        )
    print(f"report: {write_report(folder)}")


if __name__ == "__main__":
    run(main, "experiments/quickstart.py", text=__doc__ + OPTIONS)
