"""Which algorithms balance the pole after 40,000 steps, and how sure is that?

python experiments/cartpole_many_ways.py, an estimated 25 minutes on two cores

Every algorithm with reference settings for CartPole has the same budget, which is less than they have in
docs/results.md. Random actions and CartPole's own heuristic show what learning is worth.
"""

from envs import CartPole
from jaxrl import compare, enable_compilation_cache, train, use_all_cores, write_report
from jaxrl.algorithms import Heuristic, Random
from jaxrl.analysis.console import print_comparisons
from jaxrl.cli.script import OPTIONS, Options
from jaxrl.cli.usage import run
from jaxrl.presets import PRESETS

ALGORITHMS = [
    Random(),
    Heuristic(),
    *(preset.algorithm for (_, environment), preset in PRESETS.items() if environment == "CartPole-v1"),
]
SMALLEST_EFFECT = 25  # of 500: what would still matter to a user


def main(
    seeds: str | None = None, steps: int | None = None, out: str | None = None, quick: bool = False
) -> None:
    options = Options(seeds, steps, out, quick)
    folder = options.folder("cartpole_many_ways")
    enable_compilation_cache()
    use_all_cores()
    train(
        ALGORITHMS[:2] if quick else ALGORITHMS,
        CartPole(),
        **options.size(seeds=100, steps=40_000, evaluations=20),
        out=folder,
    )
    print_comparisons(*compare(folder, smallest_effect=SMALLEST_EFFECT, all_pairs=True))
    print(f"report: {write_report(folder, SMALLEST_EFFECT)}")


if __name__ == "__main__":
    run(main, "experiments/cartpole_many_ways.py", text=__doc__ + OPTIONS)
