"""Each sentence of the check of an algorithm, as the author of an algorithm reads it."""

import re

import jax
import jax.numpy as jnp
import pytest
from flax import struct
from jax import Array, lax

from envs import CartPole
from jaxrl import InputError
from jaxrl.algorithm import Algorithm, check_algorithm, static, traced
from jaxrl.algorithms import DQN, PPO, SAC
from jaxrl.config import Config
from jaxrl.learning.updates import updates_if
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.spaces import Box, Discrete


class Corridor(Environment):
    """Two actions, or two numbers."""

    continuous: bool = static(False)
    length: int = traced(3)

    @property
    def observation_space(self):
        return Box(-1.0, 1.0, (3,))

    @property
    def action_space(self):
        return Box(-1.0, 1.0, (2,)) if self.continuous else Discrete(2)

    def reset(self, key):
        return jnp.zeros(3)

    def step(self, key, state, action):
        return state, jnp.float32(0), jnp.bool_(False)

    def observe(self, state):
        return state


class State(struct.PyTreeNode):
    value: Array  # [] float32
    count: Array  # [] int32


class Scaled(Config):
    scale: float = traced(1.0)


class Learner(Algorithm):
    """Keeps the contract; each test breaks one part of it."""

    @property
    def steps_per_iteration(self):
        return 1

    def init(self, env, key):
        return State(jnp.float32(0), jnp.int32(0))

    def step(self, env, state, key, t, total):
        return state.replace(count=state.count + 1), {"loss": (state.value, jnp.float32(1))}

    def act(self, env, state, memory, obs, key, explore):
        return env.action_space.clip(jnp.zeros(env.action_space.shape, env.action_space.dtype)), memory


def sentence(learner, env=None):
    """What the check says."""
    with pytest.raises(InputError) as error:
        check_algorithm(learner, env or Corridor())
    return str(error.value)


def broken(init=None, step=None, act=None, exploring=None, memory=()):
    """A learner whose methods return something else: functions of the state or of the memory."""

    class Broken(Learner):
        def init(self, env, key):
            return super().init(env, key) if init is None else init

        def step(self, env, state, key, t, total):
            return step(state) if step else super().step(env, state, key, t, total)

        def memory(self, env):
            return memory

        def act(self, env, state, memory, obs, key, explore):
            chosen = exploring if explore and exploring else act
            return chosen(memory) if chosen else super().act(env, state, memory, obs, key, explore)

    return Broken()


@pytest.mark.parametrize("continuous", [False, True])
def test_a_learner_that_keeps_the_contract_passes(continuous):
    state, iteration = check_algorithm(Learner(), Corridor(continuous=continuous))
    kinds = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype.name), state)
    assert kinds == State(((), "float32"), ((), "int32"))
    assert len(iteration.out_avals) == 2 + 2  # the state and a pair


def test_a_memory_may_be_any_structure_that_is_kept():
    def act(memory):
        return jnp.int32(0), {"seen": memory["seen"] + 1, "last": jnp.zeros(4)}

    check_algorithm(broken(act=act, memory={"seen": jnp.int32(0), "last": jnp.ones(4)}), Corridor())


def test_plain_numbers_are_arrays():
    def step(state):
        return state, {"loss": (1.0, 2.0)}

    plain = broken(init=State(0.0, 0), step=step, act=lambda memory: (0, memory + 1), memory=0.0)
    check_algorithm(plain, Corridor())


@pytest.mark.parametrize("name", ["steps_per_iteration", "init", "step", "act"])
def test_a_missing_method_is_named(name):
    parts = {each: vars(Learner)[each] for each in ("steps_per_iteration", "init", "step", "act")}
    del parts[name]
    assert sentence(type("Half", (Algorithm,), parts)()) == f"Half must define {name}"


@pytest.mark.parametrize("steps", [0, 2.0, True, None])
def test_steps_of_an_iteration_are_counted(steps):
    learner = type("Broken", (Learner,), {"steps_per_iteration": property(lambda _: steps)})()
    expected = f"Broken.steps_per_iteration must be an integer of at least 1, got {steps!r}"
    assert sentence(learner) == expected


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"init": {"name": "x"}}, "Broken.init must return only arrays and numbers, got 'x' at ['name']"),
        (
            {"step": lambda state: (state, {"loss": ("x", 1.0)})},
            "Broken.step must return only arrays and numbers, got 'x' at [1]['loss'][0]",
        ),
        (
            {"act": lambda memory: ("left", memory)},
            "Broken.act must return only arrays and numbers, got 'left' at [0]",
        ),
        ({"memory": "x"}, "Broken.memory must return only arrays and numbers, got 'x'"),
    ],
    ids=["init", "step", "act", "memory"],
)
def test_text_is_no_array(parts, expected):
    assert sentence(broken(**parts)) == expected


@pytest.mark.parametrize(
    ("step", "got"),
    [
        (lambda state: state.count, "int32[]"),
        (lambda state: (state.count, {}, {}), "int32[] in PyTreeDef((*, {}, {}))"),
        (lambda _: None, "None"),
        (lambda _: "done", "a str"),
    ],
    ids=["one", "three", "nothing", "text"],
)
def test_a_step_gives_two_things(step, got):
    assert sentence(broken(step=step)) == f"Broken.step must return (state, metrics), got {got}"


def test_the_first_leaf_of_a_state_that_changes_is_named():
    learner = broken(
        init=State(jnp.float32(0), jnp.int32(0)), step=lambda state: (state.replace(count=jnp.zeros(2)), {})
    )
    expected = "Broken.step must return a state like init's, int32[] at .count, got float32[2]"
    assert sentence(learner) == expected


def test_a_python_if_is_named_with_its_line():
    def step(state):
        return (state if state > 0 else -state), {}

    assert re.fullmatch(
        r"Broken cannot be compiled: line \d+ of .*test_check.py \(return \(state if state > 0 .*\) asks for the "
        r"value of an array; write jnp.where .*",
        sentence(broken(init=jnp.int32(0), step=step)),
    )
    branching = type(
        "Branching", (Corridor,), {"observe": lambda _, state: state if state[0] > 0 else -state}
    )
    with pytest.raises(InputError, match=r"^Branching cannot be compiled: line \d+ of .*test_check.py"):
        check_algorithm(Learner(), branching())


@pytest.mark.parametrize(
    ("state", "got"),
    [
        (lambda state: state + 0.5, "float32[]"),
        (lambda state: state[None], "int32[1]"),
        (lambda state: (state,), "int32[] in PyTreeDef((*,))"),
        (lambda _: None, "None"),
    ],
    ids=["type", "shape", "structure", "nothing"],
)
def test_a_state_stays_as_it_is(state, got):
    learner = broken(init=jnp.int32(0), step=lambda before: (state(before), {}))
    assert sentence(learner) == f"Broken.step must return a state like init's, int32[], got {got}"


@pytest.mark.parametrize(
    ("metrics", "got"),
    [
        (lambda x: [x, x], "float32[], float32[] in PyTreeDef([*, *])"),
        (lambda x: x, "float32[]"),
        (lambda _: None, "None"),
        (lambda x: {1: (x, x)}, "the name 1"),
        (lambda x: {"loss": x}, "'loss' -> float32[]"),
        (lambda x: {"loss": (x, jnp.int32(1))}, "'loss' -> float32[], int32[]"),
        (lambda x: {"loss": (x[None], x)}, "'loss' -> float32[1], float32[]"),
        (lambda x: {"loss": [x, x]}, "'loss' -> float32[], float32[] in PyTreeDef([*, *])"),
        (lambda x: {"loss": (x, x, x)}, "'loss' -> float32[], float32[], float32[] in PyTreeDef((*, *, *))"),
    ],
    ids=["list", "number", "nothing", "name", "no pair", "weight", "shape", "list as pair", "triple"],
)
def test_metrics_are_pairs_of_numbers(metrics, got):
    learner = broken(step=lambda state: (state, metrics(state.value)))
    expected = "Broken.step must return metrics as name -> (sum, weight), both float32[]"
    assert sentence(learner) == f"{expected}, got {got}"


@pytest.mark.parametrize(
    ("act", "got"),
    [
        (lambda _: jnp.int32(0), "int32[]"),
        (lambda memory: (jnp.int32(0), memory, None), "int32[] in PyTreeDef((*, (), None))"),
        (lambda _: None, "None"),
    ],
    ids=["action alone", "three", "nothing"],
)
def test_an_action_comes_with_a_memory(act, got):
    assert sentence(broken(act=act)) == f"Broken.act must return (action, memory), got {got}"


@pytest.mark.parametrize(
    ("continuous", "action", "got"),
    [
        (False, jnp.float32(0), "int32[], got float32[]"),
        (False, jnp.zeros(1, jnp.int32), "int32[], got int32[1]"),
        (False, None, "int32[], got None"),
        (True, jnp.float32(0), "float32[2], got float32[]"),
        (True, jnp.zeros(2, jnp.int32), "float32[2], got int32[2]"),
        (True, [jnp.zeros(2)], "float32[2], got float32[2] in PyTreeDef([*])"),
    ],
    ids=["number for Discrete", "row for Discrete", "nothing", "scalar for Box", "integers for Box", "list"],
)
def test_an_action_is_an_element_of_the_space(continuous, action, got):
    said = sentence(broken(act=lambda memory: (action, memory)), Corridor(continuous=continuous))
    assert said == f"Broken.act must return an action of Corridor, {got}"


def test_exploring_actions_are_checked_too():
    learner = broken(exploring=lambda memory: (jnp.float32(0), memory))
    assert sentence(learner) == "Broken.act must return an action of Corridor, int32[], got float32[]"


@pytest.mark.parametrize(
    ("after", "got"),
    [
        (lambda memory: memory + 0.5, "float32[]"),
        (lambda memory: memory[None], "int32[1]"),
        (lambda _: (), "no arrays in PyTreeDef(())"),
    ],
    ids=["type", "shape", "structure"],
)
def test_a_memory_stays_as_it_is(after, got):
    learner = broken(act=lambda memory: (jnp.int32(0), after(memory)), memory=jnp.int32(0))
    assert sentence(learner) == f"Broken.act must return a memory like memory's, int32[], got {got}"


class Deciding(Learner):
    """Takes a branch by a hyper-parameter, by its component's, by t, or by its state."""

    by: str = static("rate")
    rate: float = traced(0.5)
    fixed: float = static(0.5)
    network: Scaled = Scaled()

    inside: str = static("step")

    def step(self, env, state, key, t, total):
        values = {"rate": self.rate, "network.scale": self.network.scale, "length": env.length}
        values |= {"fixed": self.fixed, "t": t, "state": state.value}

        def branch(state):
            return lax.cond(values[self.by] > 0, lambda: state, lambda: state.replace(count=0 * state.count))

        places = {
            "step": branch,
            "scan": lambda state: lax.scan(lambda state, _: (branch(state), None), state, length=3)[0],
            "while": lambda state: updates_if(t > 0, 2, lambda _, state: branch(state), state)[0],
            "cond": lambda state: lax.cond(t > 0, branch, lambda state: state, state),
            "jit": jax.jit(branch),
        }
        return places[self.inside](state), {}


PLACES = ["step", "scan", "while", "cond", "jit"]


@pytest.mark.parametrize("inside", PLACES)
@pytest.mark.parametrize("by", ["rate", "network.scale", "length"])
def test_a_branch_by_a_traced_field_is_warned_of(by, inside):
    if jax.__version__ >= "0.11":
        pytest.skip("jax 0.11 does not tell the constants of a scan from its carry")
    sentence = (
        f"Deciding.step or its environment has a lax.cond on the traced field {by}: "
        "in a batch both branches run; make the field static, or let the condition depend on t alone"
    )
    with pytest.warns(UserWarning, match=f"^{re.escape(sentence)}$"):
        check_algorithm(Deciding(by=by, inside=inside), Corridor())


@pytest.mark.parametrize("inside", PLACES)
@pytest.mark.parametrize("by", ["fixed", "t", "state"])
def test_other_branches_are_not(by, inside):
    """A branch by the state runs both sides, too, but some learners cannot do without it."""
    check_algorithm(Deciding(by=by, inside=inside), Corridor())


class Forked(Corridor):
    """Its step takes a branch by a constant."""

    def step(self, key, state, action):
        reward = lax.cond(self.length > 2, lambda: jnp.float32(0), lambda: state.sum())
        return state, reward, jnp.bool_(False)


def test_a_branch_of_the_environment_is_found_in_a_rollout():
    if jax.__version__ >= "0.11":
        pytest.skip("jax 0.11 does not tell the constants of a scan from its carry")
    with pytest.warns(UserWarning, match="lax.cond on the traced field length:"):
        check_algorithm(DQN(), Forked())


def test_nothing_is_computed():
    called = []

    def step(state):
        jax.debug.callback(called.append, state.count)
        return state, {}

    check_algorithm(broken(step=step), Corridor())
    jax.effects_barrier()
    assert called == []


@pytest.mark.parametrize("explore", [False, True])
def test_an_action_that_the_space_does_not_have_is_found_in_a_trial(explore):
    """Tracing sees its type alone."""

    class Astray(Learner):
        def act(self, env, state, memory, obs, key, explore_now):
            return jnp.where(explore_now == explore, 7, 1), memory

    with pytest.raises(
        InputError, match=f"Astray.act with explore={explore} gave the action 7, which Corridor"
    ):
        check_algorithm(Astray(), Corridor())


@pytest.mark.parametrize(
    ("algorithm", "environment", "sentence"),
    [
        (SAC(), CartPole(), "SAC needs"),
        (PPO, CartPole(), "check_algorithm needs an instance of Algorithm, got <class"),
        (PPO(), CartPole, "check_algorithm needs an instance of Environment, got <class"),
        (PPO(clip=-1.0), CartPole(), "clip must be at least 0, got -1.0"),
    ],
)
def test_what_does_not_fit_is_one_sentence(algorithm, environment, sentence):
    with pytest.raises(InputError, match=sentence):
        check_algorithm(algorithm, environment)
