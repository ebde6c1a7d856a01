"""What finds a reward that is hard to find: ε-greedy actions, counts, RND or ICM?

python experiments/exploration.py, an estimated 20 minutes on two cores

All are DQN with ε-greedy actions, three of them with a bonus for what is new. They learn DeepSea, where one
path of ten steps leads to the treasure, KeyDoor, where a key opens the way, and NoisyTV, whose television
shows ever new pictures.
"""

import numpy as np

from envs import DeepSea, KeyDoor, NoisyTV
from jaxrl import enable_compilation_cache, grid, train, use_all_cores, write_report
from jaxrl.algorithms import DQN
from jaxrl.cli.script import OPTIONS, Options
from jaxrl.cli.usage import run
from jaxrl.learning.bonuses import ICM, RND, Bonus, Counts
from jaxrl.learning.networks import MLP
from jaxrl.statistics import Interval, describe, final_scores
from jaxrl.text import estimate, percent

TASKS = [DeepSea(), KeyDoor(), NoisyTV()]
BONUSES = {"counts": Counts(), "RND": RND(), "ICM": ICM(), "ε-greedy alone": Bonus()}
LEARNER = DQN(
    learning_rate=1e-3,
    epsilon_fraction=0.25,
    warmup=1_000,
    network=MLP(hidden=(64,), activation="relu", initialiser="lecun_normal"),
)


def main(
    seeds: str | None = None, steps: int | None = None, out: str | None = None, quick: bool = False
) -> None:
    options = Options(seeds, steps, out, quick)
    folder = options.folder("exploration")
    enable_compilation_cache()
    use_all_cores()
    names = [*BONUSES][: 1 if quick else None]
    for task in TASKS[: 1 if quick else None]:
        results = train(
            grid(LEARNER, bonus=[BONUSES[name] for name in names]),
            task,
            **options.size(seeds=64, steps=50_000, evaluations=20),
            out=f"{folder}/{task.title}",
        )
        found = describe(final_scores(results.runs, results.curves), np.random.default_rng(0))
        print(f"{task.title}:")
        for name, row in zip(names, found.to_dict("records"), strict=True):
            mean, solved = estimate(Interval.of(row, "mean")), percent(Interval.of(row, "solved"))
            print(f"  {name}: mean return {mean}, {solved} of the seeds find the best reward")
    print(f"report: {write_report(folder)}")


if __name__ == "__main__":
    run(main, "experiments/exploration.py", text=__doc__ + OPTIONS)
