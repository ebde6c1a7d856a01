"""Do the agents reach the scores that are known? Exact optima for tables, CleanRL's for CartPole.

python experiments/published_scores.py, about two minutes on two cores
"""

import numpy as np

from envs import CartPole, FrozenLake, GridWorld
from envs.tabular import enumerate_mdp, finite_horizon
from jaxrl import enable_compilation_cache, train, use_all_cores
from jaxrl.algorithms import PPO, QLearning
from jaxrl.mdp.finite import FiniteEnvironment
from jaxrl.statistics import mean_interval

FOLDER = "runs/published_scores"


def optimum(env: FiniteEnvironment) -> float:
    """The best expected return within the time limit."""
    mdp = enumerate_mdp(env)
    return float(mdp.initial @ finite_horizon(mdp, env.max_steps).value)


def describe(what: str, scores: np.ndarray, reference: str) -> None:
    """Prints the runs' mean score ([runs]) with its 95 % interval beside the reference."""
    mean, low, high = mean_interval(scores, np.random.default_rng(0))
    print(f"{what}: {mean:.4g} [{low:.4g}, {high:.4g}] over {len(scores)} seeds; {reference}")


def main() -> None:
    enable_compilation_cache()
    use_all_cores()
    world = train(
        QLearning(), GridWorld(), seeds=256, steps=7_000, evaluation_episodes=1, out=f"{FOLDER}/gridworld"
    )
    scores, best = world.final().to_numpy(), optimum(GridWorld())
    describe("Q-learning, GridWorld, 7,000 steps", scores, f"optimum {best:.4g}")
    print(f"  seeds that follow a shortest path: {np.mean(scores >= best - 1e-4):.1%}")

    lake = train(
        QLearning(learning_rate_decay=0.01, epsilon_end=0.1),
        FrozenLake(),
        seeds=256,
        steps=200_000,
        evaluate_every=20_000,
        evaluation_episodes=400,
        out=f"{FOLDER}/frozenlake",
    )
    best = optimum(FrozenLake())
    describe("Q-learning, FrozenLake 4x4, 200,000 steps", lake.final().to_numpy(), f"optimum {best:.4g}")

    pole = train(PPO(), CartPole(), seeds=64, steps=500_000, out=f"{FOLDER}/cartpole")
    training = pole.metric("return").iloc[:, -5:].mean(axis=1).to_numpy()
    describe("PPO, CartPole, last 10 % of 500,000 training steps", training, "CleanRL 490.0 ± 6.1")
    scores = pole.final().to_numpy()
    describe("PPO, CartPole, greedy evaluation after them", scores, "the time limit is 500")
    print(f"  seeds above 400: {np.mean(scores > 400):.1%}")


if __name__ == "__main__":
    main()
