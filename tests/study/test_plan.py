import dataclasses
import math
import re

import jax.numpy as jnp
import numpy as np
import pytest

from envs import CartPole, FrozenLake, GridWorld, Taxi
from envs.adapters.from_gymnasium import FromGymnasium
from envs.wrappers import Masked
from jaxrl import InputError, grid, registry
from jaxrl.algorithms import DQN, PPO, REINFORCE, DiscreteSAC, QLearning
from jaxrl.compiled.lane_memory import CACHE, MAX_WIDTH, NEAR, USUAL_WIDTH, parse_bytes, shown_bytes
from jaxrl.environment import Box, Discrete, Environment, Wrapper, traced
from jaxrl.learning.networks import GRU, MLP
from jaxrl.study.plan import few_evaluations, make_batches, make_plan
from jaxrl.study.seeds import parse_seeds, require_count
from jaxrl.study.study import Chunk, Study, make_study, require_same_spaces
from tests.learners import Cloning, Idle, Paying

DATA = {"obs": np.arange(9), "action": np.arange(9) % 4}


def study(**changes):
    values = {
        "environments": (CartPole(),),
        "algorithms": (PPO(),),
        "seeds": (0, 1, 2),
        "steps": 1024,
        "evaluate_every": 512,
        "evaluation_episodes": 2,
        "prng": "threefry2x32",
    }
    return Study(**(values | changes))


def test_runs_are_numbered_by_environment_then_algorithm_then_seed():
    """A pair of environment and algorithm is a setting."""
    runs = study(
        environments=(CartPole(), GridWorld()), algorithms=tuple(grid(PPO(), clip=[0.1, 0.3]))
    ).runs()
    assert [run.setting for run in runs] == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    assert [run.id for run in runs] == list(range(12))
    assert [run.seed for run in runs] == [0, 1, 2] * 4
    assert [run.algorithm.clip for run in runs] == ([0.1] * 3 + [0.3] * 3) * 2
    assert [type(run.environment) for run in runs] == [CartPole] * 6 + [GridWorld] * 6


@pytest.mark.parametrize(
    ("algorithms", "environments", "programs"),
    [
        (grid(QLearning(), learning_rate=[0.1, 0.5]), [GridWorld()], 1),
        (grid(QLearning(), double=[False, True]), [GridWorld()], 2),
        ([QLearning()], grid(GridWorld(), goal_reward=[1.0, 2.0]), 1),
        ([QLearning()], [FrozenLake(), GridWorld()], 2),
        (grid(QLearning(), double=[False, True], discount=[0.9, 1.0]), [FrozenLake(), GridWorld()], 4),
        (grid(PPO(num_steps=16), **{"network.hidden": [(8,), (8, 8)]}), [CartPole()], 2),
        ([PPO(num_steps=16)], grid(Masked(env=CartPole()), **{"env.pole_length": [0.25, 1.0]}), 1),
        ([Cloning(data=DATA), Cloning(data=DATA, learning_rate=0.1)], [GridWorld()], 1),
        ([Cloning(data=DATA), Cloning(data=DATA | {"action": [3] * 9})], [GridWorld()], 2),
        ([QLearning()], [Paying(rewards={"of": [1.0, 2.0]}), Paying(rewards={"of": [2.0, 1.0]})], 2),
    ],
)
def test_static_values_split_programs(algorithms, environments, programs):
    plan = make_plan(study(algorithms=tuple(algorithms), environments=tuple(environments)))
    assert plan.programs == len(plan.batches) == programs


def test_equal_shared_arrays_make_equal_algorithms():
    """However they are given."""
    again = {name: np.array(array) for name, array in DATA.items()}
    with pytest.raises(InputError, match=r"the study has the algorithm Cloning\(.* twice"):
        study(environments=(GridWorld(),), algorithms=(Cloning(data=DATA), Cloning(data=again))).validate()


def small_lanes(runs):
    """Of a program whose lanes hardly take any memory."""
    return study(seeds=tuple(range(runs)), algorithms=(QLearning(),), environments=(GridWorld(),))


@pytest.mark.parametrize(
    ("runs", "width", "expected_width", "sizes"),
    [
        (10, 4, 4, [4, 4, 2]),
        (10, None, 10, [10]),
        (MAX_WIDTH + 2, None, MAX_WIDTH // 2 + 1, [MAX_WIDTH // 2 + 1] * 2),
        (3, 8, 8, [3]),
    ],
)
def test_batches_have_one_width(runs, width, expected_width, sizes):
    plan = make_plan(small_lanes(runs), width)
    assert plan.width == expected_width
    assert [len(batch.runs) for batch in plan.batches] == sizes
    ids = [run.id for batch in plan.batches for run in batch.runs]
    assert ids == list(range(runs))


def test_lanes_are_padded_with_the_last_run():
    (batch,) = make_plan(study(algorithms=tuple(grid(PPO(), clip=[0.1, 0.2])), seeds=(7,)), 4).batches
    algorithm, env, keys, shared = batch.lanes()
    np.testing.assert_allclose(algorithm.clip, [0.1, 0.2, 0.2, 0.2])
    assert {leaf.shape for leaf in (env.gravity, *keys)} == {(4,)}
    assert env.gravity.dtype == np.float32
    assert shared == ({}, {})


def test_a_batch_knows_what_its_runs_go_through():
    (batch,) = make_plan(study(steps=1_100, prng="pcg4x32"), 4).batches
    assert (batch.iterations, batch.steps_per_iteration, batch.prng) == (2, 512, "pcg4x32")
    assert batch.chunks == (Chunk(0, 0, 2), Chunk(0, 1, 2), Chunk(1, 2, 2))
    assert batch.algorithm == PPO()


def test_lanes_come_with_their_shared_arrays_once():
    """Those in a component, under its name."""
    env = Wrapper(env=Paying(rewards={"of": np.float32([1, 2])}))
    (batch,) = make_batches(study(environments=(env,), algorithms=(Cloning(data=DATA),)), 4)
    algorithm, env, _, (of_algorithm, of_env) = batch.lanes()
    assert algorithm.data is env.env.rewards is None
    assert [*of_algorithm] == ["data"]
    np.testing.assert_array_equal(of_algorithm["data"]["action"], DATA["action"])
    assert {name: array["of"].tolist() for name, array in of_env.items()} == {"env.rewards": [1.0, 2.0]}


def test_the_plan_says_what_it_does():
    plan = make_plan(study(algorithms=tuple(grid(PPO(), num_envs=[4, 8]))), 2)
    assert re.fullmatch(
        r"6 runs, 2 programs, 4 batches of width 2, memory about [\d.]+ MB, of which states 221 KB, "
        "6,144 environment steps, at most 15,000 more in 3 evaluations of each run",
        str(plan).splitlines()[0],
    )


@pytest.mark.parametrize(
    ("algorithms", "environment", "steps", "episodes", "evaluations"),
    [
        (QLearning(), FrozenLake(), 2_000, 10, 1),  # one takes at most 1,000 steps, and half is 1,000
        (QLearning(), FrozenLake(), 500, 10, 1),  # never none
        (QLearning(), FrozenLake(), 20_000, 10, 10),
        (QLearning(), FrozenLake(), 20_000, 5, 20),
        (QLearning(), FrozenLake(max_steps=5), 20_000, 5, 50),  # never more
        (PPO(), CartPole(), 102_400, 10, 40),  # one takes at most 5,000 steps, and twice is 204,800
        (PPO(), CartPole(), 512_000, 10, 50),
        ([PPO(), PPO(network=GRU())], CartPole(), 102_400, 10, 40),
        ([PPO(), Idle()], CartPole(), 102_400, 10, 10),
    ],
)
def test_the_default_number_of_evaluations_is_bounded_by_their_steps(
    algorithms, environment, steps, episodes, evaluations
):
    made = make_study(algorithms, environment, seeds=1, steps=steps, evaluation_episodes=episodes)
    counts = [len(made.chunks(algorithm)) - 1 for algorithm in made.algorithms]
    assert counts == [evaluations] * len(counts)
    limited = [
        text for text in few_evaluations(made) if f"evaluated every {made.evaluate_every:,} steps" in text
    ]
    assert len(limited) == (evaluations < 50)
    asked = make_study(algorithms, environment, seeds=1, steps=steps, evaluate_every=steps // 40)
    assert asked.evaluate_every == steps // 40


def test_the_default_number_of_evaluations_counts_all_environments_of_evaluation():
    made = make_study(
        QLearning(), FrozenLake(), seeds=1, steps=20_000, evaluate_in={"long": FrozenLake(max_steps=400)}
    )
    assert made.evaluate_every == 10_000
    (sentence,) = few_evaluations(made)
    assert sentence.startswith(
        "a run is evaluated every 10,000 steps, since more evaluations could take more than half"
    )
    assert str(make_plan(made)).splitlines()[1:] == [sentence]
    assert few_evaluations(dataclasses.replace(made, evaluate_every=5_000)) == ()
    cut = dataclasses.replace(made, evaluation_steps=50).evaluated_by_default()
    assert cut.evaluate_every == 2_000


def test_evaluations_count_all_environments_and_the_limits_of_their_episodes():
    named = {"long": FrozenLake(max_steps=100)}
    size = {"seeds": 3, "steps": 100, "evaluate_every": 50, "evaluation_episodes": 2}
    plan = make_plan(make_study(QLearning(), FrozenLake(max_steps=7), evaluate_in=named, **size))
    assert plan.evaluation_steps == 3 * 3 * 2 * (7 + 100)
    endless = make_plan(make_study(QLearning(), FrozenLake(max_steps=2**31 - 1), **size))
    assert ", at most 38,654,705,646 more in 3 evaluations of each run" in str(endless)


@pytest.mark.parametrize(
    ("algorithm", "steps", "fields"),
    [
        (DQN(warmup=500, target_period=20), 510, []),
        (DQN(warmup=500, target_period=20, num_envs=1), 501, []),
        (DQN(warmup=500, target_period=20), 509, ["warmup"]),
        (DQN(warmup=500, target_period=20, num_envs=1), 500, ["warmup"]),
        (DQN(warmup=600, target_period=700), 600, ["target_period", "warmup"]),
        (DiscreteSAC(warmup=300), 300, ["warmup"]),
        (PPO(num_steps=16), 64, []),
        (REINFORCE(episodes=256), 300, ["episodes"]),
        (REINFORCE(episodes=255), 300, []),
        (DQN(warmup=0, target_period=1, epsilon_schedule="exponential"), 290, ["epsilon_decay"]),
    ],
)
def test_the_plan_names_what_a_run_never_gets_past(algorithm, steps, fields):
    """The budget is rounded down to whole iterations."""
    plan = make_plan(make_study(algorithm, CartPole(), seeds=1, steps=steps))
    named = [
        re.search(r"never gets past (\w+)=[\d.]+: give more steps or a smaller \1$", each)[1]
        for each in plan.unreached
    ]
    assert named == fields
    assert str(plan).splitlines()[1:] == [*plan.limited, *plan.unreached]


@pytest.mark.parametrize(
    ("steps", "fields", "named"),
    [
        (298, {}, True),  # 0.99 ** 298 is above 0.05, the end
        (299, {}, False),
        (298, {"epsilon_schedule": "linear"}, False),
        (298, {"epsilon_end": 0.0}, False),
        (298, {"epsilon_start": 0.05}, False),
        (298, {"epsilon_decay": 0.0}, False),
        (10**6, {"epsilon_decay": 1.0}, True),
    ],
)
def test_exploration_that_cannot_fall_to_its_end_is_named(steps, fields, named):
    """An episode has a step or more."""
    algorithm = QLearning(**{"epsilon_schedule": "exponential"} | fields)
    assert algorithm.never_reached(steps) == ("epsilon_decay",) * named
    study = make_study(algorithm, FrozenLake(), seeds=1, steps=steps)
    assert len(make_plan(study).unreached) == named


@pytest.mark.parametrize("name", sorted(registry.algorithms()))
def test_every_warm_up_and_period_is_watched(name):
    """Each in environment steps or episodes, so that the plan can name one that the budget never reaches."""
    algorithm = registry.algorithm(name)
    steps = {
        field
        for field in algorithm.parameters()
        if field in ("warmup", "episodes") or field.endswith("_period")
    }
    assert {*algorithm.waits} == steps


def test_memory_of_states_is_that_of_the_arrays():
    """The widest program's: parameters, Adam's two moments and their count, replay, episodes."""
    dqn = DQN(num_envs=2, capacity=100, warmup=0, batch_size=8, network=MLP(hidden=(3,)))
    parameters = (4 * 3 + 3) + (3 * 2 + 2)
    replay = 100 * (2 * 4 * 4 + 4 + 4 + 1 + 1)  # two observations, action, reward, two ends
    episodes = 2 * 4 * (4 + 4 + 3)  # state, observation, totals and the rounding error of one
    bytes_of_lane = 4 * (4 * parameters + 1) + replay + episodes + 4  # completed episodes
    plan = make_plan(study(algorithms=(dqn, dqn.replace(**{"network.hidden": (2,)}))), 5)
    assert plan.lane.state == bytes_of_lane


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [
        (3, (0, 1, 2)),
        ("3", (0, 1, 2)),
        ("5:8", (5, 6, 7)),
        (range(2, 4), (2, 3)),
        ([9, 1], (9, 1)),
        (np.array([2, 4]), (2, 4)),
        (np.int64(2), (0, 1)),
        ("3,5,8", (3, 5, 8)),
        ("5, 3", (5, 3)),
        ("1e1", tuple(range(10))),
        ("1_0:12", (10, 11)),
    ],
)
def test_seeds(seeds, expected):
    assert parse_seeds(seeds) == expected


@pytest.mark.parametrize(
    "seeds",
    [
        0,
        -3,
        True,
        10**7,
        "0:99999999999",
        "1e30",
        10**30,
        "",
        "a",
        "3:1",
        "1:2:3",
        "1,",
        "1,1",
        "1,a",
        "1:3,5",
        "inf",
        "1.5",
        [],
        [1, 1],
        [-1],
        [2**32],
        [1.5],
        2.5,
        None,
    ],
)
def test_bad_seeds(seeds):
    """What is offered can also be given in a shell."""
    offered = r"at most 1,000,000|a count \(128\), a range \(100:200\) or distinct integers \(3,5,8\) in .*"
    with pytest.raises(InputError, match=f"^seeds must be ({offered}), .*got"):
        parse_seeds(seeds)


class Continuous(FrozenLake):
    @property
    def action_space(self):
        return Box(-1.0, 1.0, ())

    def successor(self, state, action, outcome):
        return super().successor(state, (action > 0).astype(int), outcome)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"environments": ()}, "at least one environment"),
        ({"algorithms": (CartPole(),)}, "the algorithm must be an instance of Algorithm, got CartPole"),
        ({"environments": (CartPole,)}, r"the environment must be an instance: write CartPole\(\)"),
        ({"algorithms": (PPO(), PPO())}, "the study has the algorithm PPO.* twice"),
        ({"steps": 10**10}, "steps must be at most 2147483647, got 10000000000"),
        ({"prng": None}, "unknown prng 'None'"),
        ({"steps": 511}, "one iteration of PPO, 512 steps, got 511"),
        ({"steps": 1.5}, "steps must be an integer of at least 1, got 1.5"),
        ({"evaluate_every": 0}, "evaluate_every must be an integer of at least 1, got 0"),
        ({"evaluation_episodes": 0}, "evaluation_episodes must be an integer of at least 1, got 0"),
        ({"prng": "rbg"}, "would depend on its neighbours"),
        ({"prng": "threefri"}, "unknown prng 'threefri'"),
        ({"precision": "float64"}, "unknown precision 'float64'.*float32"),
        ({"algorithms": (PPO(minibatches=3),)}, "must divide num_envs x num_steps = 512, got 3"),
        ({"algorithms": (PPO(learning_rate=-1.0),)}, "learning_rate must be at least 0, got -1.0"),
        ({"algorithms": (PPO(discount=1.2),)}, r"discount must be in \[0, 1\], got 1.2"),
        ({"algorithms": (QLearning(),)}, "QLearning keeps a table and needs discrete observations; CartPole"),
        (
            {"environments": (Continuous(),), "algorithms": (DQN(),)},
            "DQN needs discrete actions; Continuous has continuous ones",
        ),
        ({"environments": (CartPole(max_steps=0),)}, "max_steps must be at least 1, got 0"),
    ],
)
def test_bad_studies(changes, message):
    with pytest.raises(InputError, match=message):
        study(**changes).validate()


class Numpys(CartPole):
    """Its types are those of numpy, and its bounds are others."""

    @property
    def observation_space(self):
        return Box(-9.0, 9.0, (4,), np.dtype("float32"))


def test_spaces_fit_if_their_shapes_and_types_are_the_same():
    require_same_spaces("evaluate_in", Numpys(), CartPole())


def evaluated_in(environments):
    return make_study(QLearning(), GridWorld(), seeds=1, steps=10, evaluate_in=environments)


def test_environments_of_evaluation_have_names():
    worlds = {"one": GridWorld(), "the other": GridWorld(goal_reward=2.0)}
    assert evaluated_in(worlds).evaluate_in == tuple(worlds.items())
    assert evaluated_in(None).evaluate_in == evaluated_in({}).evaluate_in == ()


@pytest.mark.parametrize(
    ("environments", "message"),
    [
        (GridWorld(), "evaluate_in must map names to environments, got GridWorld"),
        ({"": GridWorld()}, "evaluate_in needs printable names, got ''"),
        ({" ": GridWorld()}, "evaluate_in needs printable names, got ' '"),
        ({"a\nb": GridWorld()}, r"evaluate_in needs printable names, got 'a\\nb'"),
        ({1: GridWorld()}, "evaluate_in needs printable names, got 1"),
        ({"a": QLearning()}, "evaluate_in 'a' must be an Environment, got QLearning"),
        ({"a": GridWorld}, "evaluate_in 'a' must be an Environment, got <class"),
        ({"a": GridWorld(max_steps=0)}, "GridWorld.max_steps must be at least 1, got 0"),
        (
            {"a": FrozenLake(rows=("SF", "FG"))},
            r"evaluate_in 'a': FrozenLake does not fit: its observation space is Discrete\(4\), "
            r"that of GridWorld is Discrete\(\d+\)",
        ),
        ({"a": CartPole()}, r"CartPole does not fit: its observation space is Box\(4,\) of float32, that of"),
    ],
)
def test_bad_environments_of_evaluation(environments, message):
    with pytest.raises(InputError, match=message):
        evaluated_in(environments)


@pytest.mark.parametrize("width", [0, -1, 2.5, True])
def test_bad_widths(width):
    with pytest.raises(InputError, match="width must be an integer of at least 1"):
        make_plan(study(), width)


class WrongReward(FrozenLake):
    def step(self, key, state, action):
        state, reward, terminated = super().step(key, state, action)
        return state, reward[None], terminated


class WrongObservation(CartPole):
    def observe(self, state):
        return super().observe(state)[:3]


class FiveValues(FrozenLake):
    def step(self, key, state, action):
        return *super().step(key, state, action), False, {}


class NoState(FrozenLake):
    def reset(self, key):
        return None


class NoProperty(FrozenLake):
    def action_space(self):
        return super().action_space


class TracedSize(FrozenLake):
    size: int = traced(4, low=1)

    @property
    def num_actions(self):
        return self.size


class NoObserve(Environment):
    observation_space = action_space = Discrete(2)

    def reset(self, key):
        return jnp.int32(0)

    def step(self, key, state, action):
        return state, 0.0, False


class TracedText(FrozenLake):
    name: str = "lake"


class WrongState(FrozenLake):
    def step(self, key, state, action):
        state, reward, terminated = super().step(key, state, action)
        return (state, state), reward, terminated


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (WrongReward(), r"WrongReward.step must return a reward of float32\[\], got float32\[1\]"),
        (WrongObservation(), r"must return an observation of float32\[4\], got float32\[3\]"),
        (FiveValues(), r"FiveValues.step must return \(state, reward, terminated\), got \("),
        (NoState(), "NoState.reset must return a state, got None"),
        (NoProperty(), "NoProperty.action_space must be a Discrete or a Box, got .* it may lack @property"),
        (TracedSize(), r"TracedSize.action_space has a size that is traced: mark the field .* static"),
        (NoObserve(), "NoObserve must define observe"),
        (TracedText(), r"TracedText.name is not a number, so it cannot be traced; mark it static"),
        (WrongState(), r"WrongState.step must return a state like reset's, of int32\[\], got int32"),
    ],
)
def test_environments_that_break_their_contract(env: Environment, message):
    with pytest.raises(InputError, match=message):
        study(environments=(env,)).validate()


@pytest.mark.parametrize(
    ("steps", "every", "expected"),
    [
        (51_200, 5_120, [*range(0, 101, 10)]),
        (51_200, 51_200, [0, 100]),
        (51_200, 10**6, [0, 100]),
        (1_536, 1, [0, 1, 2, 3]),
        (3_584, 1_200, [0, 2, 5, 7]),
    ],
)
def test_chunks_are_even_and_end_with_the_run(steps, every, expected):
    chunks = study(steps=steps, evaluate_every=every).chunks(PPO())
    assert [chunk.stop for chunk in chunks] == expected
    assert [chunk.start for chunk in chunks] == [0, *expected[:-1]]
    assert {chunk.total for chunk in chunks} == {expected[-1]}


def test_an_extension_by_steps_goes_on_where_the_runs_ended():
    longer = study(steps=1024, evaluate_every=512).extended(steps=2560)
    assert longer.chunks(PPO()) == [
        Chunk(0, 0, 2),
        Chunk(0, 1, 2),
        Chunk(1, 2, 2),
        Chunk(2, 3, 5),
        Chunk(3, 4, 5),
        Chunk(4, 5, 5),
    ]
    assert longer.steps_of(PPO()) == 2560


def test_an_extension_by_seeds_changes_no_run_and_no_batch():
    short = study(algorithms=tuple(grid(PPO(), num_envs=[4, 8])))
    longer = short.extended(seeds=(7, 5))
    assert longer.runs()[:6] == short.runs()
    assert [(run.id, run.seed, run.block) for run in longer.runs()[6:]] == [
        (6, 7, 1),
        (7, 5, 1),
        (8, 7, 1),
        (9, 5, 1),
    ]
    assert make_batches(longer, 2)[:4] == make_batches(short, 2)
    assert [[run.id for run in batch.runs] for batch in make_batches(longer, 2)[4:]] == [[6, 7], [8, 9]]


def test_extensions_that_do_not_fit():
    with pytest.raises(InputError, match="the study has seed 1 already; extend it by new seeds"):
        study().extended(seeds=(9, 1))
    with pytest.raises(InputError, match="the study has seed 9 already"):
        study().extended(seeds=(9,)).extended(seeds=(9,))
    with pytest.raises(InputError, match="the runs have 1024 steps; extend them to 1536 or more, got 1500"):
        study().extended(steps=1500)


def test_the_width_fits_the_memory():
    one = small_lanes(40)
    lane = make_plan(one).lane.total
    assert make_plan(one, memory=lane * 40).width == 40
    assert make_plan(one, memory=lane * 40 - 1).width == 20
    assert make_plan(one, memory=lane).width == 1
    with pytest.raises(
        InputError, match=r"1 lane of about .* would take more than the memory of .*; choose a smaller"
    ):
        make_plan(one, memory=lane - 1)
    with pytest.raises(InputError, match="8 lanes of about"):
        make_plan(one, width=8, memory=lane * 7)


def test_what_a_processor_works_on_stays_near_its_caches():
    plan = make_plan(study(seeds=tuple(range(100))))
    working = plan.lane.total - plan.lane.state
    assert plan.width * working <= CACHE < 2 * plan.width * working
    wide = PPO(network=MLP(hidden=(2_000, 2_000)))
    assert make_plan(study(seeds=tuple(range(9)), algorithms=(wide,))).width == 3  # at most FEW
    runs = {"seeds": tuple(range(2 * MAX_WIDTH)), "algorithms": (QLearning(),)}
    assert make_plan(study(**runs, environments=(Taxi(),))).width == USUAL_WIDTH
    plan = make_plan(study(**runs, environments=(GridWorld(size=10),)))
    assert USUAL_WIDTH < plan.width < MAX_WIDTH
    assert plan.width * plan.lane.total <= NEAR


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4GB", 4 * 10**9),
        ("500 mb", 5 * 10**8),
        ("1.5KB", 1500),
        ("7B", 7),
        ("4G", 4 * 10**9),
        ("1.5GiB", 3 * 2**29),
        ("2 kib", 2048),
        (4e9, 4 * 10**9),
        (np.int64(4096), 4096),
        (1e17, 10**17),
    ],
)
def test_sizes(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    "text", ["4", "GB", "-4GB", "4XB", "1.2.3GB", "0GB", "", "4BB", "1E999B", 0, -4e9, math.nan, math.inf]
)
def test_bad_sizes(text):
    with pytest.raises(InputError, match="memory must be a size such as 4GB or 500MB, got"):
        parse_bytes(text)


@pytest.mark.parametrize(("size", "text"), [(0, "0 B"), (999, "999 B"), (38.12e6, "38.1 MB"), (4e9, "4 GB")])
def test_sizes_are_shown_in_three_digits(size, text):
    assert shown_bytes(size) == text


def test_environments_of_evaluation_count_in_the_plan():
    """Their callbacks into Python would block a program of several devices for ever."""
    options = {"seeds": 2, "steps": 100, "evaluation_episodes": 1}
    pole = CartPole(max_steps=20)
    plain = make_plan(make_study(QLearning(), GridWorld(), **options))
    assert plain.multi_device
    hosted = FromGymnasium(name="FrozenLake-v1", max_steps=20)
    assert not make_plan(
        make_study(QLearning(), FrozenLake(), evaluate_in={"gym": hosted}, **options)
    ).multi_device
    small = make_plan(make_study(PPO(num_steps=16), pole, seeds=2, steps=100, evaluation_episodes=1))
    crowded = make_study(
        PPO(num_steps=16), pole, evaluate_in={"same": pole}, **(options | {"evaluation_episodes": 9_999})
    )
    assert make_plan(crowded).lane.total > small.lane.total


def test_shared_arrays_count_in_the_memory():
    data = {"obs": np.zeros(10_000, np.int32), "action": np.zeros(10_000, np.int32)}
    study = make_study(Cloning(data=data), GridWorld(), seeds=2, steps=10)
    with pytest.raises(
        InputError, match=r"and 80 KB of shared arrays would take more than the memory of 50 KB;"
    ):
        make_plan(study, memory=50_000)
    assert make_plan(study, memory=100_000).width == 2


@pytest.mark.parametrize("value", [3, np.int64(3), 3.0, np.float32(3)])
def test_counts_may_be_any_whole_number(value):
    count = require_count("steps", value)
    assert (type(count), count) == (int, 3)


@pytest.mark.parametrize("value", [0, -1, True, 1.5, math.nan, math.inf, "3", None, [3]])
def test_bad_counts(value):
    with pytest.raises(InputError, match="steps must be an integer of at least 1, got"):
        require_count("steps", value)
