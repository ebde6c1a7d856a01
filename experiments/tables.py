"""How close does Q-learning come to the exact optimum? Values of 1,000 greedy policies in two small worlds.

python experiments/tables.py, an estimated three minutes on two cores

For GridWorld and FrozenLake: the median run's greedy policy as arrows; how far the policies of all seeds fall
short of the expected return of the optimal policy, for the same discount; and the mean shortfall for each
pair of a constant step size and a constant ε, 100 seeds each. A solver finds these returns exactly.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from envs import FrozenLake, GridWorld
from envs.tabular import MDP, discounted, enumerate_mdp, expected_return
from jaxrl import Results, enable_compilation_cache, grid, preset, train, use_all_cores, write_report
from jaxrl.algorithms import QLearning
from jaxrl.cli.script import OPTIONS, Options
from jaxrl.cli.usage import run
from jaxrl.mdp.finite import FiniteEnvironment
from jaxrl.statistics import mean_interval
from jaxrl.text import estimate

WORLDS: dict[str, FiniteEnvironment] = {"GridWorld-v0": GridWorld(), "FrozenLake-v1": FrozenLake()}
STEP_SIZES = (0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 1.0)
EPSILONS = (0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)


def greedy_policies(results: Results) -> np.ndarray:
    """The greedy action of each run in each state: [runs, states]."""
    tables = [np.asarray(results.state(batch).q)[: len(batch.runs)] for batch in results.batches]
    return np.concatenate(tables).mean(axis=1).argmax(axis=-1)


def shortfalls(results: Results, mdp: MDP, steps: int) -> np.ndarray:
    """What the expected return of each run's greedy policy lacks to the optimal policy's: [runs]."""
    best = expected_return(mdp, discounted(mdp, QLearning().discount).policy, steps)
    policies, which = np.unique(greedy_policies(results), axis=0, return_inverse=True)
    return np.array([best - expected_return(mdp, policy, steps) for policy in policies])[which]


def arrows(env: FiniteEnvironment, policy: np.ndarray) -> str:
    """A policy on the map of a world whose states are the cells of a square, row by row."""
    symbols = np.array([env.symbol(state, int(action)) for state, action in enumerate(policy)])
    return "\n".join(" ".join(row) for row in symbols.reshape(int(len(policy) ** 0.5), -1))


def main(
    seeds: str | None = None, steps: int | None = None, out: str | None = None, quick: bool = False
) -> None:
    options, rng = Options(seeds, steps, out, quick), np.random.default_rng(0)
    enable_compilation_cache()
    use_all_cores()
    for name, env in [*WORLDS.items()][:1] if quick else WORLDS.items():
        mdp, limit = enumerate_mdp(env), int(env.max_steps)
        study = preset("q_learning", name)
        budget = study["steps"]
        study |= options.size(seeds=1_000, steps=budget, evaluations=10, fresh=True)
        folder = Path(options.folder("tables")) / name
        results = train(**study, out=folder / "seeds")
        lacking = shortfalls(results, mdp, limit)
        median = int(np.argsort(lacking)[len(lacking) // 2])
        print(f"{name}: the median of {len(lacking)} runs\n{arrows(env, greedy_policies(results)[median])}")
        print(f"optimal: {np.mean(lacking < 1e-6):.1%}; shortfall {estimate(mean_interval(lacking, rng))}")
        settings = [
            setting.replace(epsilon_end=setting.epsilon_start)
            for setting in grid(QLearning(), learning_rate=STEP_SIZES, epsilon_start=EPSILONS)
        ]
        size = options.size(seeds=100, steps=budget, evaluations=1)
        sweep = train(settings, env, **size, out=folder / "sweep")
        table = sweep.runs.assign(shortfall=shortfalls(sweep, mdp, limit))
        print("mean shortfall by step size (lines) and ε:")
        pivot = pd.pivot_table(table, values="shortfall", index="learning_rate", columns="epsilon_start")
        print(pivot.to_string(float_format="{:.3f}".format))
        print(f"report: {write_report(folder)}\n")


if __name__ == "__main__":
    run(main, "experiments/tables.py", text=__doc__ + OPTIONS)
