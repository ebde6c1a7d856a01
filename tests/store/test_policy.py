"""A trained policy on its own: asked in plain Python, called in compiled code, saved to a file and loaded."""

import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from envs import CartPole, GridWorld
from envs.adapters.to_gymnasium import ToGymnasium
from jaxrl import InputError
from jaxrl.algorithms import DQN, QLearning
from jaxrl.learning.networks import MLP
from jaxrl.store.policy import Policy
from tests.lanes import SMALL, small
from tests.learners import Cloning, Counting, Paying, Rising, registered


def fresh(algorithm, env):
    """A policy of an algorithm whose state is all random numbers."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(algorithm.arrays().init, env.arrays(), random.key(0))
    state = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(leaf.dtype), shapes)
    return Policy(algorithm, env, state)


def with_seed(policy, seed):
    return Policy(policy.algorithm, policy.environment, policy.state, seed)


@pytest.fixture(scope="module")
def table():
    """A policy of a table that prefers action s % 4 in state s."""
    policy = fresh(QLearning(epsilon_end=0.5), GridWorld())
    prefers = np.eye(4, dtype=np.float32)[np.arange(16) % 4][None]
    return Policy(policy.algorithm, policy.environment, policy.state.replace(q=prefers))


@pytest.fixture(scope="module")
def network():
    return fresh(DQN(network=MLP(hidden=(8,))), CartPole())


OBS = np.float32([[0.1, 0.2, -0.1, 0.3], [1.0, -2.0, 0.1, 0.0], [0.0, 0.0, 0.0, 1.0]])


def test_one_observation_or_a_batch_of_them(table, network):
    action, state = table.predict(6)
    assert (action.shape, action.dtype, action.item(), state) == ((), np.int32, 2, None)
    assert table.predict(np.int64(7))[0].item() == 3
    assert table.predict([0, 1, 9])[0].tolist() == [0, 1, 1]
    assert table.predict([5])[0].shape == (1,)
    actions, state = network.predict(OBS)
    assert (actions.shape, state) == ((3,), None)
    assert actions.tolist() == [network.predict(obs)[0].item() for obs in OBS]
    assert actions.tolist() == network.predict(OBS.astype(float).tolist())[0].tolist()


def test_exploring_draws_anew_at_each_call_and_for_each_observation(table):
    def drawn(policy):
        return policy.predict(np.zeros(20, int), deterministic=False)[0].tolist()

    first, again, other = (with_seed(table, seed) for seed in (0, 0, 1))
    calls = [drawn(first), drawn(first)]
    assert calls[0] != calls[1]
    assert len({*calls[0]}) > 1
    assert [drawn(again), drawn(again)] == calls
    assert drawn(other) != calls[0]


def test_the_pure_form_works_in_compiled_code(network):
    act = jax.jit(jax.vmap(lambda obs: network.act((), obs, random.key(0))[0]))
    assert act(OBS).tolist() == network.predict(OBS)[0].tolist()
    assert network.memory == ()
    one = jax.jit(network.act, static_argnames="explore")
    assert one((), OBS[1], random.key(0), explore=False)[0].item() == network.predict(OBS[1])[0].item()


def test_the_pure_form_carries_its_memory_through_a_scan():
    policy = fresh(Counting(), GridWorld())

    def step(memory, key):
        action, memory = policy.act(memory, jnp.int32(0), key)
        return memory, action

    memory, actions = jax.lax.scan(step, policy.memory, random.split(random.key(0), 4))
    assert (actions.tolist(), memory["steps"].item()) == ([0, 1, 2, 3], 4)


def test_each_form_names_the_other_where_it_does_not_serve(network, table):
    with pytest.raises(InputError, match=r"^act takes one observation, of shape \(4,\), got \(3, 4\); for a"):
        network.act((), OBS, random.key(0))
    with pytest.raises(InputError, match=r"^act takes one observation, of shape \(\), got \(2,\); for a"):
        table.act((), [1, 2], random.key(0))
    for transformed in (jax.jit, jax.vmap):
        with pytest.raises(
            InputError, match=r"^predict runs on the host; in a function that jax traces, use act"
        ):
            transformed(lambda obs: network.predict(obs)[0])(OBS)


def test_a_policy_remembers_from_call_to_call():
    """One that counts the steps of an episode: alone, and in a batch where one episode ends before the other."""
    policy = fresh(Counting(), GridWorld())
    actions, memory = [], None
    for start in (True, False, False, True, False):
        action, memory = policy.predict(0, memory, episode_start=start)
        actions.append(action.item())
    assert actions == [0, 1, 2, 0, 1]
    _, memory = policy.predict([0, 0])
    assert memory["steps"].tolist() == [1, 1]
    _, memory = policy.predict([0, 0], memory)
    actions, memory = policy.predict([0, 0], memory, episode_start=[False, True])
    assert actions.tolist() == [2, 0]
    assert policy.predict([0, 0], memory)[0].tolist() == [3, 1]


@pytest.mark.filterwarnings("ignore")
def test_stable_baselines_evaluates_it():
    """Its function needs `predict` alone; it passes the memory on and says where episodes begin."""
    evaluate_policy = pytest.importorskip("stable_baselines3.common.evaluation").evaluate_policy
    world = GridWorld(size=2)  # Counting goes up, down, left and right, and forgets where an episode begins
    policy = fresh(Counting(), world)
    _, lengths = evaluate_policy(policy, ToGymnasium(world), 3, return_episode_rewards=True, warn=False)
    assert lengths == [4, 4, 4]


@pytest.mark.parametrize(
    ("obs", "said"),
    [
        (np.zeros(3), r"must have shape \(4,\), or one more axis for a batch, got \(3,\)"),
        (np.zeros((2, 3)), r"must have shape \(4,\), or one more axis for a batch, got \(2, 3\)"),
        (np.zeros((1, 2, 4)), r"must have shape \(4,\), or one more axis for a batch, got \(1, 2, 4\)"),
        (0.0, r"must have shape \(4,\), or one more axis for a batch, got \(\)"),
        (["x"] * 4, "must be made of float32, got "),
        ([1j] * 4, "must be made of float32, got "),
        ([None] * 4, "must be made of float32, got "),
    ],
)
def test_observations_that_do_not_fit(obs, said, network):
    with pytest.raises(InputError, match=f"^observation {said}"):
        network.predict(obs)


@pytest.mark.parametrize(
    ("obs", "said"),
    [
        ([[1, 2]], r"must have shape \(\), or one more axis for a batch, got \(1, 2\)"),
        (16, r"must be in \[0, 15\], got 16"),
        ([3, -1], r"must be in \[0, 15\], got \[ 3 -1\]"),
        ("left", "must be made of int32, got 'left'"),
        (3.7, r"must be made of int32, got 3\.7"),
    ],
)
def test_discrete_observations_that_do_not_fit(obs, said, table):
    with pytest.raises(InputError, match=f"^observation {said}"):
        table.predict(obs)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_a_saved_policy_acts_as_before(name, tmp_path):
    """It has the same config, and what was learned but for what acting does not need."""
    policy = fresh(*small(name))
    loaded = Policy.load(policy.save(tmp_path / "policy.safetensors"))
    assert (loaded.algorithm, loaded.environment) == (policy.algorithm, policy.environment)
    shape = (20, *policy.environment.observation_space.shape)
    obs = [*range(16)] if name == "q_learning" else np.random.default_rng(0).normal(size=shape)
    for deterministic in (True, False):
        before, after = (each.predict(obs, deterministic=deterministic)[0] for each in (policy, loaded))
        np.testing.assert_array_equal(before, after)
    kept = [array for key, array in load_file(tmp_path / "policy.safetensors").items() if "state" in key]
    assert sum(array.size for array in kept) < sum(leaf.size for leaf in jax.tree.leaves(policy.state))


def test_another_process_loads_it_without_the_study(table, network, tmp_path):
    """What was drawn there goes on from the same seed."""
    files = [str(policy.save(tmp_path / f"{i}")) for i, policy in enumerate((table, network))]
    code = f"""
import json
from jaxrl.store.policy import Policy
policies = [Policy.load(file, seed=5) for file in {files!r}]
asked = [[*range(16)], {OBS.tolist()!r}]
print(json.dumps([
    [policy.predict(obs, deterministic=sure)[0].tolist() for sure in (True, False)]
    for policy, obs in zip(policies, asked)
]))
"""
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    there = json.loads(said.stdout)
    again = [with_seed(each, 5) for each in (table, network)]
    here = [
        [policy.predict(obs, deterministic=sure)[0].tolist() for sure in (True, False)]
        for policy, obs in zip(again, ([*range(16)], OBS), strict=True)
    ]
    assert there == here


def test_shared_arrays_and_memory_are_saved_too(tmp_path):
    data = {"obs": np.arange(16), "action": np.arange(16) % 4}
    with registered():
        for policy in (
            fresh(Counting(), Paying(rewards={"of": np.float32([0, 1, 2])})),
            fresh(Cloning(data=data), GridWorld()),
        ):
            loaded = Policy.load(policy.save(tmp_path / "policy"))
            assert (loaded.algorithm, loaded.environment) == (policy.algorithm, policy.environment)
            _, memory = loaded.predict(0)
            _, expected = policy.predict(0)
            assert memory == expected


def test_the_environment_of_a_schedule_is_saved_as_numbers(tmp_path):
    with registered():
        policy = fresh(QLearning(), Rising().at(jnp.int32(3), jnp.int32(4)))
        assert Policy.load(policy.save(tmp_path / "policy")).environment.level == 7.5
        policy = fresh(QLearning(), Rising().at(jnp.int32(1), jnp.int32(100)))
        assert str(policy.environment.level) == "0.1"


def altered(policy, file, change):
    """The policy's file, after a change of its arrays and its description."""
    path = policy.save(file)
    with safe_open(path, framework="numpy") as file:
        described = json.loads(file.metadata()["jaxrl"])
    arrays = load_file(path)
    change(arrays, described)
    save_file(arrays, path, metadata={"jaxrl": json.dumps(described)})
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda arrays, _: arrays.popitem(), "was altered"),
        (lambda arrays, _: arrays["state/.q"].fill(9), "was altered"),
        (lambda _, described: described.update(format=9), "is a policy of format 9, this jaxrl reads 1"),
        (lambda _, described: described.pop("algorithm"), "is not a policy that jaxrl has saved"),
        (lambda _, described: described.update(algorithm=3), "is damaged: 3 describes no config"),
        (
            lambda _, described: described["algorithm"].update(name="q_lerning"),
            "unknown algorithm 'q_lerning': did you mean 'q_learning'",
        ),
        (
            lambda _, described: described["environment"]["parameters"].update(size=3),
            r"holds another state: \.q is float32\[1, 16, 4\], expected float32\[1, 9, 4\]",
        ),
        (
            lambda _, described: described["algorithm"].update(name="dqn", parameters={}),
            r"holds another state: \.\S+ is missing, expected float32\[4\]",
        ),
        (
            lambda _, described: described["algorithm"]["parameters"].update(discount=2.0),
            r"QLearning.discount must be in \[0, 1\], got 2.0",
        ),
    ],
)
def test_altered_files_are_refused(change, said, table, tmp_path):
    path = altered(table, tmp_path / "policy", change)
    with pytest.raises(InputError, match=said):
        Policy.load(path)


def test_what_is_no_policy_is_refused(table, tmp_path):
    path = table.save(tmp_path / "policy")
    content = path.read_bytes()
    for damaged in (content[:-1], content[:20], b"", b"no policy"):
        path.write_bytes(damaged)
        with pytest.raises(
            InputError, match=rf"^{path} cannot be read: it was altered or cut short, or is of"
        ):
            Policy.load(path)
    save_file({"weights": np.zeros(3)}, path)
    with pytest.raises(InputError, match=rf"^{path} is not a policy that jaxrl has saved"):
        Policy.load(path)
    with pytest.raises(InputError, match="nowhere is missing"):
        Policy.load(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"below/policy cannot be written: "):
        table.save(tmp_path / "policy" / "below" / "policy")
