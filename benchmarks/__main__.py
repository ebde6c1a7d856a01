"""`python -m benchmarks NAME` runs a benchmark."""

from collections.abc import Sequence

from jaxrl.cli.usage import run


def benchmark(name: str, /, only: str = "", smoke: bool = False, out: str | None = None) -> None:
    """Runs a benchmark on this machine: prints a table, writes a figure and every raw time.

    Args:
        name: one of these.
            - compile: seconds of compilation, with an empty and with a full cache.
            - environments: steps per second with random actions, compared with gymnax and Gymnasium.
            - kills: whether studies end with the same bits after kill -9 and resume.
            - numpy: Q-learning, compared with a plain loop.
            - peers: training, compared with rejax and Stable-Baselines3 (installed into the user's cache).
            - randomness: dieharder's tests of every generator.
            - reporting: seconds of comparisons, and of reports of 1,000 runs.
            - seeds: time and memory by the number of seeds, and the time until CartPole is solved.
            - study: whole studies: the shares of training, evaluation, saving, compilation and the rest.
            - training: steps per second.
        only (TEXT): measures only what has this text in its name; then nothing is written without --out.
        smoke: measures little and only once, to see that it runs; then nothing is written without --out.
        out (FOLDER): the folder of the figure and the times; benchmarks/results/<device> if not given.
    """
    from benchmarks import command  # loads jax and matplotlib, which --help does not need

    command.run(name, only, smoke, out)


def main(arguments: Sequence[str] | None = None) -> None:
    run(benchmark, "python -m benchmarks", arguments)


if __name__ == "__main__":
    main()
