"""Learning against what is known: exact optima of tables, published scores of CartPole."""

import numpy as np
import pytest

from envs import CartPole, FrozenLake, GridWorld
from envs.tabular import enumerate_mdp, expected_return, finite_horizon
from jaxrl import train
from jaxrl.algorithms import PPO, QLearning
from tests.lanes import batch_of, trained


def exact_scores(env, algorithm, seeds, steps):
    """Expected return of each seed's greedy policy, and the states it was read from."""
    state = trained(batch_of([algorithm] * seeds, env, range(seeds)), steps)
    policies = np.asarray(state.q.mean(axis=1).argmax(axis=-1))
    mdp = enumerate_mdp(env)
    return np.array([expected_return(mdp, policy, env.max_steps) for policy in policies]), state


def optimum(env):
    mdp = enumerate_mdp(env)
    return mdp.initial @ finite_horizon(mdp, env.max_steps).value


def test_q_learning_solves_gridworld():
    """In the steps of 1,000 episodes at most, 99 % of the seeds follow a shortest path."""
    env = GridWorld()
    scores, state = exact_scores(env, QLearning(), seeds=256, steps=7_000)
    assert np.asarray(state.completed).max() <= 1_000
    assert (scores >= optimum(env) - 1e-6).mean() >= 0.99


@pytest.mark.parametrize("double", [False, True])
def test_q_learning_crosses_the_ice(double):
    """Gymnasium counts the lake as solved at 0.70; the best stationary policy reaches 0.7402."""
    algorithm = QLearning(learning_rate_decay=0.01, epsilon_end=0.1, double=double)
    scores, state = exact_scores(FrozenLake(), algorithm, seeds=256, steps=200_000)
    assert scores.mean() >= 0.70
    assert scores.max() <= optimum(FrozenLake())
    assert len(np.unique(np.asarray(state.q).reshape(256, -1), axis=0)) == 256


def test_q_learning_with_epsilon_per_episode():
    algorithm = QLearning(epsilon_schedule="exponential", epsilon_decay=0.98)
    scores, _ = exact_scores(GridWorld(), algorithm, seeds=64, steps=5_000)
    assert (scores >= 9.5 - 1e-4).mean() >= 0.95


def test_ppo_learns_cartpole(tmp_path):
    results = train(
        PPO(), CartPole(), seeds=16, steps=100_000, evaluate_every=10_000, out=tmp_path / "cartpole"
    )
    training, evaluation = results.metric("return"), results.metric("eval_return")
    assert (training.iloc[:, -1] > 4 * training.iloc[:, 0]).all()
    assert training.iloc[:, -1].mean() > 200
    assert evaluation.iloc[:, -1].mean() > 400


@pytest.mark.slow
def test_ppo_reaches_cleanrls_score(tmp_path):
    """CleanRL reports 490.0 ± 6.1 at 500,000 steps."""
    results = train(PPO(), CartPole(), seeds=64, steps=500_000, out=tmp_path / "cartpole")
    assert results.metric("return").iloc[:, -5:].mean(axis=None) >= 480
    assert (results.metric("eval_return").iloc[:, -1] > 400).mean() >= 0.95
