"""Does every algorithm learn what it should? Final scores of 64 seeds each, with intervals.

python experiments/learning_table.py [ROW ...] [--json FILE], an hour and a half on two cores for all
rows. A row that was trained before is read from runs/learning_table.
"""

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from envs import Acrobot, CartPole, FrozenLake, MountainCar, MountainCarContinuous, Pendulum
from jaxrl import Results, enable_compilation_cache, registry, train, use_all_cores
from jaxrl.algorithms import DQN, PPO, SAC, DiscreteSAC
from jaxrl.learning.algorithm import Algorithm
from jaxrl.mdp.environment import Environment
from jaxrl.statistics import mean_interval, solve_share

FOLDER = Path("runs/learning_table")


class Row(NamedTuple):
    algorithm: Algorithm
    environment: Environment | str  # a name if making one uses jax, which must see all cores first
    steps: int
    aim: float  # final evaluation that counts as solved
    seeds: int = 64
    episodes: int = 20  # of each evaluation


DQN_MOUNTAIN_CAR = DQN(
    learning_rate=1e-3,
    discount=0.98,
    epsilon_end=0.07,
    epsilon_fraction=0.1,
    num_envs=4,
    num_steps=4,
    updates=8,
    warmup=1_000,
    target_period=600,
    capacity=50_000,
    double=True,
    hidden=(64, 64),
)
SAC_MOUNTAIN_CAR = SAC(num_envs=8, updates=4, warmup=8_000, warmup_hold=16, capacity=40_000)
PPO_PENDULUM = PPO(
    learning_rate=1e-3,
    discount=0.9,
    num_steps=512,
    epochs=10,
    minibatches=32,
    entropy_coefficient=0.0,
    normalise_observations=True,
    normalise_rewards=True,
)
DISCRETE_SAC_CARTPOLE = DiscreteSAC(
    num_envs=8,
    updates=4,
    batch_size=64,
    discount=0.98,
    target_rate=0.01,
    target_entropy=0.2,
    warmup=2_000,
    capacity=40_000,
    hidden=(128, 128),
)
ROWS: dict[str, Row] = {
    "dqn CartPole-v1": Row(DQN(), CartPole(), 500_000, 475),
    "dqn Acrobot-v1": Row(DQN(), Acrobot(), 500_000, -100),
    "dqn MountainCar-v0": Row(DQN_MOUNTAIN_CAR, MountainCar(), 280_000, -115),
    "dqn FrozenLake-v1": Row(
        DQN(warmup=1_000, capacity=100_000), FrozenLake(is_slippery=False), 200_000, 1.0
    ),
    "sac Pendulum-v1": Row(SAC(), Pendulum(), 20_000, -180),
    "sac MountainCarContinuous-v0": Row(SAC_MOUNTAIN_CAR, MountainCarContinuous(), 40_000, 90),
    "discrete_sac CartPole-v1": Row(DISCRETE_SAC_CARTPOLE, CartPole(), 100_000, 450),
    "ppo Pendulum-v1": Row(PPO_PENDULUM, Pendulum(), 409_600, -200),
    "ppo Acrobot-v1": Row(PPO(), Acrobot(), 500_000, -95),
    "ppo Breakout-MinAtar": Row(PPO(num_envs=16), "gymnax:Breakout-MinAtar", 1_000_000, 5, seeds=4),
}


def study(name: str) -> Results:
    """The row's runs, trained or read."""
    row = ROWS[name]
    env = registry.environment(row.environment) if isinstance(row.environment, str) else row.environment
    return train(
        row.algorithm,
        env,
        seeds=row.seeds,
        steps=row.steps,
        evaluate_every=row.steps // 10,
        evaluation_episodes=row.episodes,
        out=FOLDER / name.replace(" ", "-"),
    )


def summary(name: str, results: Results) -> dict[str, Any]:
    """What the table says of a row: the last greedy evaluation of each run."""
    row, scores = ROWS[name], results.final().to_numpy()
    mean, low, high = mean_interval(scores, np.random.default_rng(0))
    solved = solve_share(scores, row.aim)
    seconds = {
        part: sum(batch[part] for batch in results.manifest["seconds"]) for part in ("compile", "train")
    }
    return {
        "row": name,
        "seeds": row.seeds,
        "steps": row.steps,
        "mean": mean,
        "mean_low": low,
        "mean_high": high,
        "first": float(results.metric("eval_return").iloc[:, 0].mean()),
        "aim": row.aim,
        "solved": solved.estimate,
        "solved_low": solved.low,
        "solved_high": solved.high,
        "failed": int((results.runs.status == "failed").sum()),
        "settings": row.algorithm.parameters(),
        "scores": [None if np.isnan(score) else round(float(score), 3) for score in scores],
        "seconds": seconds,
        "versions": results.manifest["machine"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}; all if none is given")
    parser.add_argument("--json", type=Path, help="where to write the table with every run's score")
    arguments = parser.parse_args()
    unknown = set(arguments.rows) - set(ROWS)
    if unknown:
        parser.error(f"unknown row {min(unknown)!r}; known are {', '.join(ROWS)}")
    enable_compilation_cache()
    use_all_cores()
    table = []
    for name in arguments.rows or ROWS:
        table.append(summary(name, study(name)))
        if arguments.json:
            arguments.json.write_text(json.dumps(table, indent=1) + "\n")
    columns = ["row", "seeds", "steps", "mean", "mean_low", "mean_high", "aim", "solved"]
    print(pd.DataFrame(table)[columns].to_string(index=False))


if __name__ == "__main__":
    main()
