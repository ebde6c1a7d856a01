"""Do the agents reach the scores that are known? Exact optima for tables, CleanRL's for CartPole.

python experiments/published_scores.py, about two minutes on two cores
"""

import numpy as np

from envs import CartPole, FrozenLake, GridWorld
from envs.tabular import enumerate_mdp, finite_horizon
from jaxrl import enable_compilation_cache, train, use_all_cores
from jaxrl.algorithms import PPO, QLearning
from jaxrl.cli.script import OPTIONS, Options
from jaxrl.cli.usage import run
from jaxrl.mdp.finite import FiniteEnvironment
from jaxrl.statistics import mean_interval


def optimum(env: FiniteEnvironment) -> float:
    """The best expected return within the time limit."""
    mdp = enumerate_mdp(env)
    return float(mdp.initial @ finite_horizon(mdp, env.max_steps).value)


def describe(what: str, scores: np.ndarray, reference: str) -> None:
    """Prints the runs' mean score ([runs]) with its 95 % interval beside the reference."""
    mean, low, high = mean_interval(scores, np.random.default_rng(0))
    print(f"{what}: {mean:.4g} [{low:.4g}, {high:.4g}] over {len(scores)} seeds; {reference}")


def main(
    seeds: str | None = None, steps: int | None = None, out: str | None = None, quick: bool = False
) -> None:
    options = Options(seeds, steps, out, quick)
    folder = options.folder("published_scores")
    enable_compilation_cache()
    use_all_cores()
    size = options.size(seeds=256, steps=7_000)
    world = train(QLearning(), GridWorld(), **size, evaluation_episodes=1, out=f"{folder}/gridworld")
    scores, best = world.final().to_numpy(), optimum(GridWorld())
    describe(f"Q-learning, GridWorld, {size['steps']:,} steps", scores, f"optimum {best:.4g}")
    print(f"  seeds that follow a shortest path: {np.mean(scores >= best - 1e-4):.1%}")

    size = options.size(seeds=256, steps=200_000, evaluations=10)
    lake = train(
        QLearning(learning_rate_decay=0.01, epsilon_end=0.1),
        FrozenLake(),
        **size,
        evaluation_episodes=400,
        out=f"{folder}/frozenlake",
    )
    scores, best = lake.final().to_numpy(), optimum(FrozenLake())
    describe(f"Q-learning, FrozenLake 4x4, {size['steps']:,} steps", scores, f"optimum {best:.4g}")

    size = options.size(seeds=64, steps=500_000)
    pole = train(PPO(), CartPole(), **size, out=f"{folder}/cartpole")
    training = pole.metric("return").iloc[:, -5:].mean(axis=1).to_numpy()
    describe(f"PPO, CartPole, last 10 % of {size['steps']:,} training steps", training, "CleanRL 490.0 ± 6.1")
    scores = pole.final().to_numpy()
    describe("PPO, CartPole, greedy evaluation after them", scores, "the time limit is 500")
    print(f"  seeds above 400: {np.mean(scores > 400):.1%}")


if __name__ == "__main__":
    run(main, "experiments/published_scores.py", text=__doc__ + OPTIONS)
