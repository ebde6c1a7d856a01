"""Does ice that becomes slippery gradually teach more than ice that is slippery from the start?

python experiments/curriculum.py, an estimated five minutes on two cores

Q-learning learns to cross two maps of FrozenLake. On gradual ice, slipping becomes as likely as on slippery
ice within a share of the run. Every evaluation is on slippery ice.
"""

import numpy as np

from envs.wrappers import Scheduled
from jaxrl import enable_compilation_cache, grid, preset, registry, train, use_all_cores, write_report
from jaxrl.cli.script import OPTIONS, Options
from jaxrl.cli.usage import run
from jaxrl.statistics import difference_interval, mean_interval
from jaxrl.text import estimate

LAKES = {"FrozenLake-v1": 200_000, "FrozenLake8x8-v1": 1_000_000}  # and the steps of a run
SHARES = [0.25, 0.5, 1.0]  # of a run, until the ice is as slippery as it gets


def main(
    seeds: str | None = None, steps: int | None = None, out: str | None = None, quick: bool = False
) -> None:
    options = Options(seeds, steps, out, quick)
    folder = options.folder("curriculum")
    enable_compilation_cache()
    use_all_cores()
    learner = preset("q_learning", "FrozenLake-v1")["algorithm"]
    shares = SHARES[: 1 if quick else None]
    for name, budget in [*LAKES.items()][: 1 if quick else None]:
        lake = registry.environment(name)
        gradual = Scheduled(env=lake.replace(success_rate=1.0), end=lake)
        results = train(
            learner,
            [lake, *grid(gradual, fraction=shares)],
            **options.size(seeds=256, steps=budget, evaluations=10),
            evaluation_episodes=400,
            out=f"{folder}/{name}",
        )
        slippery, *others = (scores for _, scores in results.final().groupby(results.runs["setting"]))
        print(
            f"{name}, slippery from the start: {estimate(mean_interval(slippery, np.random.default_rng(0)))}"
        )
        for share, scores in zip(shares, others, strict=True):
            mean = mean_interval(scores, np.random.default_rng(0))
            more = difference_interval(scores, slippery, np.random.default_rng(0))
            print(f"  within {share:.0%} of the run: {estimate(mean)}, difference {estimate(more)}")
    print(f"report: {write_report(folder)}")


if __name__ == "__main__":
    run(main, "experiments/curriculum.py", text=__doc__ + OPTIONS)
