"""Does every algorithm learn what it should? Final scores of 64 seeds and more, with intervals.

python experiments/learning_table.py, an hour and a half on two cores. A row that was trained before is read
from the folder of the results.
"""

from collections.abc import Sequence
from json import dumps
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from envs import (
    Acrobot,
    CartPole,
    CliffWalking,
    DeepSea,
    FrozenLake,
    GridWorld,
    MountainCar,
    MountainCarContinuous,
    Pendulum,
    TMaze,
)
from envs.wrappers import Masked
from jaxrl import Results, enable_compilation_cache, registry, train, use_all_cores
from jaxrl.algorithms import (
    A2C,
    C51,
    DQN,
    PPO,
    PQN,
    QRDQN,
    REINFORCE,
    SAC,
    TD3,
    TRPO,
    CountQ,
    DiscreteSAC,
    DynaQ,
    MonteCarlo,
    QLearning,
    Rainbow,
    Sarsa,
)
from jaxrl.cli.script import OPTIONS, Options, writable
from jaxrl.cli.usage import run
from jaxrl.errors import unknown
from jaxrl.learning.algorithm import Algorithm
from jaxrl.learning.bonuses import ICM, RND, Counts
from jaxrl.learning.networks import GRU, MLP, Attention
from jaxrl.learning.value_heads import CategoricalReturn, QuantileReturn
from jaxrl.mdp.environment import Environment
from jaxrl.statistics import mean_interval, solve_share


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
    network=MLP(hidden=(64, 64), activation="relu", initialiser="lecun_normal"),
)
# Many updates follow each rollout: with few, and a target that changes as often, values of quantiles diverge.
QR_DQN_CARTPOLE = QRDQN(
    learning_rate=2.3e-3,
    epsilon_end=0.04,
    epsilon_fraction=0.16,
    num_envs=8,
    num_steps=32,
    updates=128,
    batch_size=64,
    warmup=1_000,
    target_period=256,
    capacity=51_200,
    head=QuantileReturn(quantiles=10),
    network=MLP(hidden=(128, 128), activation="relu", initialiser="lecun_normal"),
)
CARTPOLE_RETURNS = CategoricalReturn(v_min=0.0, v_max=100.0)  # with a discount of 0.99
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
    network=MLP(hidden=(128, 128), activation="relu", initialiser="lecun_normal"),
)
REINFORCE_CARTPOLE = REINFORCE(learning_rate=3e-3, baseline_learning_rate=3e-3, normalise_rewards=True)
A2C_ACROBOT = A2C(num_envs=16, normalise_observations=True, normalise_rewards=True)
A2C_PENDULUM = A2C(
    learning_rate=2e-3,
    anneal_learning_rate=True,
    discount=0.9,
    gae_lambda=0.9,
    num_steps=8,
    value_coefficient=0.4,
    normalise_observations=True,
    normalise_rewards=True,
)
TRPO_ACROBOT = TRPO(num_steps=1_024, normalise_observations=True)
# CartPole without its two velocities, and a corridor of 20 steps, for policies with and without a memory.
POSITIONS, LONG_MAZE = Masked(env=CartPole()), TMaze(length=20)
PPO_POSITIONS = PPO(learning_rate=1e-3, num_envs=16, normalise_observations=True)
PPO_MAZE = PPO(learning_rate=3e-3, entropy_coefficient=0.03, num_envs=16, num_steps=64)
GRU_POSITIONS = GRU(units=32, torso=MLP(hidden=(32,)))
GRU_MAZE = GRU(units=16, torso=MLP(hidden=(16,)))
ATTENTION_POSITIONS = Attention(units=32, heads=2, window=4, torso=MLP(hidden=(32,)))
ATTENTION_MAZE = Attention(units=16, heads=2, window=24, torso=MLP(hidden=(16,)))
PPO_DEEP_SEA = PPO(learning_rate=1e-3, num_envs=16, num_steps=40, network=MLP(hidden=(32,)))
SMALL_MODEL = MLP(hidden=(32,), activation="relu")
PPO_RND = PPO_DEEP_SEA.replace(bonus=RND(learning_rate=1e-2, network=SMALL_MODEL, outputs=32))
PPO_ICM = PPO_DEEP_SEA.replace(bonus=ICM(learning_rate=1e-2, network=SMALL_MODEL))
# On the cliff, learners of their own ε-greedy policy walk at a distance from the edge, which takes 15 or 17
# steps. The shortest path takes 13.
SARSA = Sarsa(trace_decay=0.8, learning_rate_decay=0.01, epsilon_end=0.1)
EXPECTED_SARSA = Sarsa(target="expected", learning_rate=0.5, epsilon_end=0.1)
MONTE_CARLO_CLIFF = MonteCarlo(
    learning_rate=0.01, learning_rate_decay=0.003, epsilon_end=0.1, epsilon_fraction=0.9
)
FAST_Q = QLearning(learning_rate=0.5, epsilon_fraction=0.3)
DYNA_Q = DynaQ(learning_rate=1.0, epsilon_fraction=0.3, planning_steps=50)
SWEEPING = DYNA_Q.replace(planning_steps=20, prioritised=True)
ROWS: dict[str, Row] = {
    "sarsa CliffWalking-v1": Row(SARSA, CliffWalking(), 50_000, -17, seeds=256, episodes=1),
    "sarsa GridWorld-v0": Row(SARSA, GridWorld(), 5_000, 9.4999, seeds=256, episodes=1),
    "expected sarsa CliffWalking-v1": Row(EXPECTED_SARSA, CliffWalking(), 50_000, -17, seeds=256, episodes=1),
    "expected sarsa GridWorld-v0": Row(EXPECTED_SARSA, GridWorld(), 5_000, 9.4999, seeds=256, episodes=1),
    "monte_carlo CliffWalking-v1": Row(MONTE_CARLO_CLIFF, CliffWalking(), 1_000_000, -17, episodes=1),
    "monte_carlo GridWorld-v0": Row(
        MonteCarlo(learning_rate=0.05, epsilon_end=0.1), GridWorld(), 20_000, 9.4999, seeds=256, episodes=1
    ),
    "q_learning CliffWalking-v1": Row(FAST_Q, CliffWalking(), 5_000, -13, seeds=256, episodes=1),
    "dyna_q CliffWalking-v1": Row(DYNA_Q, CliffWalking(), 500, -13, seeds=256, episodes=1),
    "prioritised sweeping CliffWalking-v1": Row(SWEEPING, CliffWalking(), 500, -13, seeds=256, episodes=1),
    "q_learning GridWorld-v0": Row(QLearning(), GridWorld(), 1_000, 9.4999, seeds=256, episodes=1),
    "dyna_q GridWorld-v0": Row(
        DynaQ(learning_rate=0.5, planning_steps=20), GridWorld(), 100, 9.4999, seeds=256, episodes=1
    ),
    "count_q DeepSea-v0 size=20": Row(CountQ(), DeepSea(size=20), 200_000, 0.9899, seeds=256, episodes=1),
    "q_learning DeepSea-v0 size=20": Row(
        QLearning(), DeepSea(size=20), 200_000, 0.9899, seeds=256, episodes=1
    ),
    "dqn CartPole-v1": Row(DQN(), CartPole(), 500_000, 475),
    "dqn Acrobot-v1": Row(DQN(), Acrobot(), 500_000, -100),
    "dqn MountainCar-v0": Row(DQN_MOUNTAIN_CAR, MountainCar(), 280_000, -115),
    "dqn FrozenLake-v1": Row(
        DQN(warmup=1_000, capacity=100_000), FrozenLake(is_slippery=False), 200_000, 1.0
    ),
    "qr_dqn CartPole-v1": Row(QR_DQN_CARTPOLE, CartPole(), 100_000, 490),
    "c51 CartPole-v1": Row(C51(head=CARTPOLE_RETURNS), CartPole(), 500_000, 490),
    "rainbow CartPole-v1": Row(Rainbow(head=CARTPOLE_RETURNS), CartPole(), 250_000, 490),
    "pqn CartPole-v1": Row(PQN(), CartPole(), 500_000, 490),
    "td3 Pendulum-v1": Row(TD3(), Pendulum(), 20_000, -160),
    "sac Pendulum-v1": Row(SAC(), Pendulum(), 20_000, -180),
    "sac MountainCarContinuous-v0": Row(SAC_MOUNTAIN_CAR, MountainCarContinuous(), 40_000, 90),
    "discrete_sac CartPole-v1": Row(DISCRETE_SAC_CARTPOLE, CartPole(), 100_000, 450),
    "ppo Pendulum-v1": Row(PPO_PENDULUM, Pendulum(), 409_600, -200),
    "ppo DeepSea-v0 size=20": Row(PPO_DEEP_SEA, DeepSea(size=20), 44_800, 0.9899, episodes=1),
    "ppo + counts DeepSea-v0 size=20": Row(
        PPO_DEEP_SEA.replace(bonus=Counts()), DeepSea(size=20), 44_800, 0.9899, episodes=1
    ),
    "ppo + rnd DeepSea-v0 size=20": Row(PPO_RND, DeepSea(size=20), 128_000, 0.9899, episodes=1),
    "ppo + icm DeepSea-v0 size=20": Row(PPO_ICM, DeepSea(size=20), 128_000, 0.9899, episodes=1),
    "ppo Acrobot-v1": Row(PPO(), Acrobot(), 500_000, -95),
    "ppo CartPole-v1 without velocities": Row(PPO_POSITIONS, POSITIONS, 400_000, 450),
    "ppo gru CartPole-v1 without velocities": Row(
        PPO_POSITIONS.replace(network=GRU_POSITIONS), POSITIONS, 400_000, 450
    ),
    "ppo attention CartPole-v1 without velocities": Row(
        PPO_POSITIONS.replace(network=ATTENTION_POSITIONS), POSITIONS, 400_000, 450
    ),
    # 3.79 is the return of 95 turns of 100 in the right way, less what rounding takes.
    "ppo TMaze-v0 length=20": Row(PPO_MAZE, LONG_MAZE, 300_000, 3.79, episodes=100),
    "ppo gru TMaze-v0 length=20": Row(
        PPO_MAZE.replace(network=GRU_MAZE), LONG_MAZE, 300_000, 3.79, episodes=100
    ),
    "ppo attention TMaze-v0 length=20": Row(
        PPO_MAZE.replace(network=ATTENTION_MAZE), LONG_MAZE, 300_000, 3.79, episodes=100
    ),
    "a2c CartPole-v1": Row(A2C(), CartPole(), 200_000, 490),
    "a2c Acrobot-v1": Row(A2C_ACROBOT, Acrobot(), 200_000, -90),
    "a2c Pendulum-v1": Row(A2C_PENDULUM, Pendulum(), 1_000_000, -200),
    "trpo CartPole-v1": Row(TRPO(), CartPole(), 80_000, 490),
    "trpo Acrobot-v1": Row(TRPO_ACROBOT, Acrobot(), 150_000, -90),
    "reinforce CartPole-v1": Row(REINFORCE_CARTPOLE, CartPole(), 150_000, 475),
    "reinforce without baseline CartPole-v1": Row(
        REINFORCE_CARTPOLE.replace(baseline=False), CartPole(), 150_000, 475
    ),
    "ppo Breakout-MinAtar": Row(PPO(num_envs=16), "gymnax:Breakout-MinAtar", 1_000_000, 5, seeds=4),
}
ROWS_OPTION = f"    rows (ROW): each in quotes, all by default: {', '.join(ROWS)}\n"


def study(name: str, options: Options) -> Results:
    """The row's runs, trained or read."""
    row = ROWS[name]
    env = registry.environment(row.environment) if isinstance(row.environment, str) else row.environment
    return train(
        row.algorithm,
        env,
        **options.size(seeds=row.seeds, steps=row.steps, evaluations=10),
        evaluation_episodes=row.episodes,
        out=Path(options.folder("learning_table")) / name.replace(" ", "-"),
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
        "seeds": len(scores),
        "steps": results.manifest["study"]["steps"],
        "mean": mean,
        "mean_low": low,
        "mean_high": high,
        "first": float(results.metric("eval_return").iloc[:, 0].mean()),
        "aim": row.aim,
        "solved": solved.estimate,
        "solved_low": solved.low,
        "solved_high": solved.high,
        "failed": int((results.runs.status == "failed").sum()),
        "settings": registry.plain_parameters(row.algorithm),
        "scores": [None if np.isnan(score) else round(float(score), 3) for score in scores],
        "seconds": seconds,
        "versions": results.manifest["machine"],
    }


def main(
    rows: Sequence[str] = (),
    /,
    seeds: str | None = None,
    steps: int | None = None,
    out: str | None = None,
    json: str | None = None,
    quick: bool = False,
) -> None:
    for name in rows:
        if name not in ROWS:
            raise unknown("row", name, ROWS)
    file, options = writable(json), Options(seeds, steps, out, quick)
    enable_compilation_cache()
    use_all_cores()
    table = []
    for name in rows or ROWS:
        table.append(summary(name, study(name, options)))
        if file:
            file.write_text(dumps(table, indent=1) + "\n")
    columns = ["row", "seeds", "steps", "mean", "mean_low", "mean_high", "aim", "solved"]
    print(pd.DataFrame(table)[columns].to_string(index=False))


if __name__ == "__main__":
    run(main, "experiments/learning_table.py", text=__doc__ + OPTIONS + ROWS_OPTION)
