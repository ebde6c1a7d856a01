"""What remembers what is needed: a GRU, attention, a stack of frames, or nothing?

python experiments/memory.py, an estimated 25 minutes on two cores

PPO learns two tasks in which the first observation decides what is right ten steps later, and CartPole
without its velocities. Attention sees the last 16 observations. A stack holds 4, which is enough to tell a
velocity, but too few for the other tasks.
"""

import numpy as np
from jax import Array

from envs import CartPole, MemoryChain, TMaze
from envs.wrappers import FrameStack, Masked
from jaxrl import enable_compilation_cache, grid, preset, train, use_all_cores, write_report
from jaxrl.cli.script import OPTIONS, Options
from jaxrl.cli.usage import run
from jaxrl.environment import Box, Environment, State, Wrapper
from jaxrl.learning.inputs import features, input_shape
from jaxrl.learning.networks import GRU, MLP, Attention, Network
from jaxrl.statistics import Interval, describe, final_scores
from jaxrl.text import estimate, percent


class OneHot(Wrapper):
    """A discrete observation as a box of numbers, of which FrameStack can hold several."""

    @property
    def observation_space(self) -> Box:
        return Box(0.0, 1.0, input_shape(self.env.observation_space))

    def observe(self, state: State) -> Array:
        return features(self.env.observation_space, self.env.observe(state))


TASKS: dict[str, tuple[str, Environment]] = {  # the name of its settings for PPO, and the task
    "TMaze": ("TMaze-v0", OneHot(env=TMaze())),
    "MemoryChain": ("TMaze-v0", MemoryChain()),
    "CartPole without velocities": ("masked", Masked(env=CartPole())),
}
NOTHING = MLP(hidden=(32, 32))
WAYS: dict[int, dict[str, Network]] = {  # networks by the number of frames that they see
    4: {"a stack": NOTHING},
    1: {
        "nothing": NOTHING,
        "a GRU": GRU(units=32, torso=MLP(hidden=(32,))),
        "attention": Attention(units=32, torso=MLP(hidden=(32,))),
    },
}


def main(
    seeds: str | None = None, steps: int | None = None, out: str | None = None, quick: bool = False
) -> None:
    options = Options(seeds, steps, out, quick)
    folder = options.folder("memory")
    enable_compilation_cache()
    use_all_cores()
    size = options.size(seeds=32, steps=150_000, evaluations=10) | {"evaluation_episodes": 50}
    few = 1 if quick else None  # of the tasks and ways
    for title, (settings, task) in [*TASKS.items()][:few]:
        learner = preset("ppo", settings)["algorithm"]
        print(f"{title}, solved at {task.solved_return}:")
        for frames, networks in [*WAYS.items()][:few]:
            results = train(
                grid(learner, network=[*networks.values()]),
                FrameStack(env=task, frames=frames),
                **size,
                out=f"{folder}/{title}-{frames}",
            )
            table = final_scores(results.runs, results.curves)
            rows = describe(table, np.random.default_rng(0)).to_dict("records")
            for name, row in zip(networks, rows, strict=True):
                mean, solved = estimate(Interval.of(row, "mean")), percent(Interval.of(row, "solved"))
                print(f"  {name}: mean return {mean}, {solved} of the seeds solve it")
    print(f"report: {write_report(folder)}")


if __name__ == "__main__":
    run(main, "experiments/memory.py", text=__doc__ + OPTIONS)
