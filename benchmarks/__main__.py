"""`python -m benchmarks NAME` runs a benchmark."""

from collections.abc import Sequence

from jaxrl.cli.arguments import Flag, Name, OptionalFolder, Text
from jaxrl.cli.usage import run


def benchmark(name: Name, /, only: Text = "", smoke: Flag = False, out: OptionalFolder = None) -> None:
    """Measures what this code costs on this machine: prints a table, writes a figure and every raw time.

    Args:
        name: one of these.
            - compile: compilation with an empty and with a full cache.
            - environments: random steps, beside gymnax and Gymnasium.
            - kills: whether studies end with the same bits after kill -9.
            - numpy: Q-learning, beside a plain loop.
            - peers: training, beside rejax and Stable-Baselines3, which are installed into the user's cache.
            - randomness: dieharder's tests of every generator.
            - reporting: the report of 1,000 runs.
            - seeds: time and memory of each seed, and the time until CartPole is solved.
            - training: steps per second.
        only: measures only what has this text in its name, and writes nothing without --out.
        smoke: measures little and times each once, to see that it runs; writes nothing without --out.
        out: the folder of the figure and the times; benchmarks/results/<device> if not given.
    """
    from benchmarks import command  # loads jax and matplotlib, which --help does not need

    command.run(name, only, smoke, out)


def main(arguments: Sequence[str] | None = None) -> None:
    run(benchmark, "python -m benchmarks", arguments)


if __name__ == "__main__":
    main()
