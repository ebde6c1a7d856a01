"""How much do learners of bandits lose to the best arm? Regret of 1,000 pulls, with intervals.

python experiments/bandit_regret.py, one to three minutes on two cores
"""

import numpy as np

from envs import BernoulliBandit, GaussianBandit
from jaxrl import Results, enable_compilation_cache, train, use_all_cores
from jaxrl.algorithms import UCB1, EpsilonGreedy, GradientBandit, Thompson
from jaxrl.cli.script import OPTIONS, Options
from jaxrl.cli.usage import run
from jaxrl.learning.algorithm import Algorithm
from jaxrl.mdp.bandit import Bandit
from jaxrl.statistics import mean_interval

# UCB1's paper proves its bound with c = √2 for rewards in [0, 1]. A smaller c loses less within 1,000 pulls.
STUDIES: list[tuple[Bandit, dict[str, Algorithm]]] = [
    (
        GaussianBandit(),
        {
            "ε-greedy, ε = 0.1": EpsilonGreedy(),
            "gradient bandit": GradientBandit(),
            "UCB1, c = 1": UCB1(confidence=1.0),
            "Thompson sampling": Thompson(),
        },
    ),
    (
        BernoulliBandit(),
        {
            "ε-greedy, ε = 0.1": EpsilonGreedy(),
            "gradient bandit": GradientBandit(step_size=0.4),
            "UCB1, c = √2": UCB1(),
            "Thompson sampling": Thompson(posterior="beta"),
            "UCB1, c = 0.5": UCB1(confidence=0.5),
        },
    ),
]


def regret(results: Results) -> np.ndarray:
    """Each run's regret, summed over all pulls: [runs]. All columns are of the same number of pulls."""
    per_pull = results.metric("regret").to_numpy().mean(axis=1)
    return per_pull * results.manifest["study"]["steps"]


def main(
    seeds: str | None = None, steps: int | None = None, out: str | None = None, quick: bool = False
) -> None:
    options = Options(seeds, steps, out, quick)
    folder = options.folder("bandit_regret")
    enable_compilation_cache()
    use_all_cores()
    for env, learners in STUDIES:
        print(env.title)
        for number, (name, learner) in enumerate(learners.items()):
            results = train(
                learner,
                env,
                **options.size(seeds=1_000, steps=1_000, evaluations=10),
                evaluation_episodes=1,
                out=f"{folder}/{env.title}-{number}",
            )
            mean, low, high = mean_interval(regret(results), np.random.default_rng(0))
            print(f"  {name}: {mean:.1f} [{low:.1f}, {high:.1f}] in {len(results.runs)} problems")


if __name__ == "__main__":
    run(main, "experiments/bandit_regret.py", text=__doc__ + OPTIONS)
