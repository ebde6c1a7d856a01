"""Reference settings for an algorithm in an environment. docs/results.md says what they reach."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from jaxrl import registry
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
from jaxrl.errors import unknown
from jaxrl.learning.algorithm import Algorithm
from jaxrl.learning.bonuses import Counts
from jaxrl.learning.networks import GRU, MLP
from jaxrl.learning.value_heads import CategoricalReturn, QuantileReturn


class Preset(NamedTuple):
    """The settings of an algorithm for an environment."""

    algorithm: Algorithm
    steps: int  # environment steps of each run
    seeds: int = 128
    episodes: int = 20  # of each evaluation
    env: Mapping[str, Any] = {}  # fields of the environment that differ from the registered one


_DQN_MOUNTAIN_CAR = DQN(
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
# The values of quantiles diverge if the target is copied after few updates. With 64 updates between copies,
# returns of three rewards make them grow fast enough.
_QR_DQN_CARTPOLE = QRDQN(
    learning_rate=1e-3,
    epsilon_end=0.04,
    epsilon_fraction=0.16,
    num_envs=8,
    batch_size=64,
    warmup=1_000,
    target_period=512,
    capacity=51_200,
    n_step=3,
    double=True,
    head=QuantileReturn(quantiles=10),
    network=MLP(hidden=(128, 128), activation="relu", initialiser="lecun_normal"),
)
# Those of the authors' code (Gallici et al. 2024) in CartPole, but for a learning rate 20 times as high,
# rewards that are not divided by 10, and smaller layers.
_PQN_CARTPOLE = PQN(
    learning_rate=2e-3,
    trace_decay=0.95,
    epsilon_end=0.2,
    epsilon_fraction=0.2,
    num_envs=32,
    num_steps=64,
    minibatches=16,
    network=MLP(hidden=(64, 64), activation="relu", layer_norm=True),
)
_CARTPOLE_RETURNS = CategoricalReturn(atoms=51, v_min=0.0, v_max=100.0)  # with a discount of 0.99
_C51_CARTPOLE = C51(
    learning_rate=1e-3,
    epsilon_end=0.04,
    epsilon_fraction=0.16,
    num_envs=8,
    batch_size=64,
    warmup=1_000,
    target_period=512,
    capacity=100_000,
    n_step=3,
    head=_CARTPOLE_RETURNS,
    network=MLP(hidden=(128, 128), activation="relu", initialiser="lecun_normal"),
)
_RAINBOW_CARTPOLE = Rainbow(
    learning_rate=1e-3,
    num_envs=8,
    batch_size=64,
    warmup=1_000,
    target_period=80,
    capacity=20_000,
    head=_CARTPOLE_RETURNS,
    network=MLP(hidden=(128, 128), activation="relu", initialiser="lecun_normal"),
)
_SAC_MOUNTAIN_CAR = SAC(num_envs=8, updates=4, warmup=8_000, warmup_hold=16, capacity=40_000)
_DISCRETE_SAC_CARTPOLE = DiscreteSAC(
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
_PPO_PENDULUM = PPO(
    learning_rate=1e-3,
    discount=0.9,
    num_steps=512,
    epochs=10,
    minibatches=32,
    entropy_coefficient=0.0,
    normalise_observations=True,
    normalise_rewards=True,
)
_PPO_POSITIONS = PPO(
    learning_rate=1e-3,
    num_envs=16,
    normalise_observations=True,
    network=GRU(units=32, torso=MLP(hidden=(32,))),
)
_PPO_MAZE = PPO(
    learning_rate=6e-3,
    entropy_coefficient=0.03,
    num_envs=16,
    num_steps=64,
    network=GRU(units=32, torso=MLP(hidden=(32,))),
)
_PPO_DEEP_SEA = PPO(learning_rate=1e-3, num_envs=16, num_steps=40, network=MLP(hidden=(32,)), bonus=Counts())
_A2C_PENDULUM = A2C(
    learning_rate=1.5e-3,
    anneal_learning_rate=True,
    discount=0.9,
    gae_lambda=0.9,
    num_steps=8,
    value_coefficient=0.4,
    normalise_observations=True,
    normalise_rewards=True,
)
_MONTE_CARLO_CLIFF = MonteCarlo(
    learning_rate=0.01, learning_rate_decay=0.003, epsilon_end=0.1, epsilon_fraction=0.9
)
_Q_LAKE = QLearning(learning_rate_decay=0.01, epsilon_end=0.1)
_SARSA = Sarsa(trace_decay=0.8, learning_rate_decay=0.01, epsilon_end=0.1)
_DYNA_Q_CLIFF = DynaQ(learning_rate=1.0, epsilon_fraction=0.3, planning_steps=50)
_NOT_SLIPPERY = {"is_slippery": False}

# (algorithm, environment) -> its preset.
PRESETS: dict[tuple[str, str], Preset] = {
    ("sarsa", "CliffWalking-v1"): Preset(_SARSA, 50_000, 1_000, 1),
    ("sarsa", "GridWorld-v0"): Preset(_SARSA, 5_000, 1_000, 1),
    ("monte_carlo", "CliffWalking-v1"): Preset(_MONTE_CARLO_CLIFF, 1_000_000, 128, 1),
    ("monte_carlo", "GridWorld-v0"): Preset(
        MonteCarlo(learning_rate=0.05, epsilon_end=0.1), 20_000, 1_000, 1
    ),
    ("q_learning", "CliffWalking-v1"): Preset(
        QLearning(learning_rate=0.5, epsilon_fraction=0.3), 5_000, 1_000, 1
    ),
    ("q_learning", "DeepSea-v0"): Preset(QLearning(), 200_000, 256, 1, {"size": 20}),
    ("q_learning", "FrozenLake-v1"): Preset(_Q_LAKE, 200_000, 1_000, 400),
    ("q_learning", "GridWorld-v0"): Preset(QLearning(), 1_000, 1_000, 1),
    ("dyna_q", "CliffWalking-v1"): Preset(_DYNA_Q_CLIFF, 500, 1_000, 1),
    ("dyna_q", "GridWorld-v0"): Preset(DynaQ(learning_rate=0.5, planning_steps=20), 100, 1_000, 1),
    ("count_q", "DeepSea-v0"): Preset(CountQ(), 200_000, 256, 1, {"size": 20}),
    ("dqn", "CartPole-v1"): Preset(DQN(), 500_000),
    ("dqn", "Acrobot-v1"): Preset(DQN(), 500_000),
    ("dqn", "MountainCar-v0"): Preset(_DQN_MOUNTAIN_CAR, 280_000),
    ("dqn", "FrozenLake-v1"): Preset(DQN(warmup=1_000, capacity=100_000), 200_000, env=_NOT_SLIPPERY),
    ("qr_dqn", "CartPole-v1"): Preset(_QR_DQN_CARTPOLE, 100_000),
    ("c51", "CartPole-v1"): Preset(_C51_CARTPOLE, 100_000),
    ("rainbow", "CartPole-v1"): Preset(_RAINBOW_CARTPOLE, 100_000, 64),
    ("pqn", "CartPole-v1"): Preset(_PQN_CARTPOLE, 200_000),
    ("td3", "Pendulum-v1"): Preset(TD3(), 20_000),
    ("sac", "Pendulum-v1"): Preset(SAC(), 20_000),
    ("sac", "MountainCarContinuous-v0"): Preset(_SAC_MOUNTAIN_CAR, 40_000),
    ("discrete_sac", "CartPole-v1"): Preset(_DISCRETE_SAC_CARTPOLE, 100_000),
    ("ppo", "Acrobot-v1"): Preset(PPO(), 500_000),
    ("ppo", "CartPole-v1"): Preset(PPO(), 500_000),
    ("ppo", "DeepSea-v0"): Preset(_PPO_DEEP_SEA, 44_800, episodes=1, env={"size": 20}),
    ("ppo", "Pendulum-v1"): Preset(_PPO_PENDULUM, 409_600),
    ("ppo", "TMaze-v0"): Preset(_PPO_MAZE, 200_000, episodes=100, env={"length": 20}),
    ("ppo", "masked"): Preset(_PPO_POSITIONS, 400_000),
    ("ppo", "gymnax:Breakout-MinAtar"): Preset(PPO(num_envs=16), 1_000_000, 4),
    ("a2c", "Acrobot-v1"): Preset(
        A2C(num_envs=16, normalise_observations=True, normalise_rewards=True), 200_000
    ),
    ("a2c", "CartPole-v1"): Preset(A2C(), 200_000),
    ("a2c", "Pendulum-v1"): Preset(_A2C_PENDULUM, 2_000_000),
    ("trpo", "Acrobot-v1"): Preset(TRPO(num_steps=1_024, normalise_observations=True), 150_000),
    ("trpo", "CartPole-v1"): Preset(TRPO(), 80_000),
    ("reinforce", "CartPole-v1"): Preset(
        REINFORCE(learning_rate=3e-3, baseline_learning_rate=3e-3, normalise_rewards=True), 150_000
    ),
}


def preset(algorithm: str, environment: str) -> dict[str, Any]:
    """The arguments of `jaxrl.train` of a preset: `train(**preset("sac", "MountainCarContinuous-v0"))`.

    Raises InputError for an unknown name, and if there is no preset for this algorithm in this environment.
    """
    registry.algorithm(algorithm)
    env = registry.environment(environment)
    if (found := PRESETS.get((algorithm, environment))) is None:
        near = [" ".join(pair) for pair in PRESETS if algorithm in pair or environment in pair]
        raise unknown("preset", f"{algorithm} {environment}", near or map(" ".join, PRESETS))
    return {
        "algorithm": found.algorithm,
        "environment": env.replace(**found.env),
        "seeds": found.seeds,
        "steps": found.steps,
        "evaluation_episodes": found.episodes,
    }
