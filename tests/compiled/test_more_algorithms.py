"""The bits of further algorithms depend on nothing but their own run, and their runs can be brought back."""

import jax
import numpy as np
import pytest

from jaxrl import train
from jaxrl.run.reproduce import replay, verify
from jaxrl.store.policy import Policy
from jaxrl.study.batch import Batch
from jaxrl.study.study import Run
from tests.lanes import MORE, batch_of, bits, equal, small, start, trained

SEEDS = (3, 1, 4, 15)
ITERATIONS = 40  # episodes end within them, and all update


@pytest.fixture(params=sorted(MORE))
def name(request):
    return request.param


def test_lanes_neighbours_and_chunks_do_not_change_a_bit(name):
    algorithm, env = small(name)
    env = env.replace(max_steps=9)
    batch = batch_of([algorithm] * 4, env, SEEDS)
    whole = bits(trained(batch, ITERATIONS))
    assert not equal(whole, bits(start(batch)[1]))
    assert len({b"".join(leaf[lane].tobytes() for leaf in whole) for lane in range(4)}) == 4
    assert equal(whole, bits(trained(batch, ITERATIONS, marks=(1, 5, 6))))
    order = np.array([2, 0, 1, 3])
    permuted = batch_of([algorithm] * 4, env, np.array(SEEDS)[order].tolist())
    assert equal(bits(trained(permuted, ITERATIONS)), [leaf[order] for leaf in whole])
    padded = Batch(0, 4, tuple(Run(i, env, algorithm, seed) for i, seed in enumerate(SEEDS[:2])))
    assert equal(bits(trained(padded, ITERATIONS), slice(2)), [leaf[:2] for leaf in whole])


def test_all_runs_come_back_bit_for_bit_and_a_saved_policy_acts_as_before(name, tmp_path):
    algorithm, env = small(name)
    results = train(
        algorithm,
        env,
        seeds=5,
        steps=ITERATIONS * algorithm.steps_per_iteration,
        evaluate_every=ITERATIONS * algorithm.steps_per_iteration // 2,
        evaluation_episodes=2,
        width=4,
        out=tmp_path / "s",
    )
    states, *runs = verify(results, 3)
    assert states.acceptable
    assert [run.deviation for run in runs] == [0, 0, 0]
    assert replay(results, 2).first is None
    policy = results.policy(0)
    loaded = Policy.load(policy.save(tmp_path / "policy.safetensors"))
    obs = np.asarray(env.observe(env.reset(jax.random.key(0))))
    assert policy.predict(obs)[0] == loaded.predict(obs)[0]
