"""How much longer do many seeds train than one?

python experiments/throughput.py, an estimated seven minutes on two cores

PPO on CartPole, from 1 to 1,024 seeds; the time of training alone, without compilation and evaluation.
"""

from pathlib import Path

from envs import CartPole
from jaxrl import enable_compilation_cache, train, use_all_cores
from jaxrl.algorithms import PPO
from jaxrl.cli.script import OPTIONS, Options
from jaxrl.cli.usage import run
from jaxrl.report.figures import COLOURS, NEUTRAL, Axis, Dots, Figure, Line
from jaxrl.report.static import save
from jaxrl.report.summary import throughput
from jaxrl.study.seeds import parse_seeds
from jaxrl.text import counted, number

COUNTS = (1, 4, 16, 64, 256, 1_024)  # of seeds, those that there are with --seeds


def main(
    seeds: str | None = None, steps: int | None = None, out: str | None = None, quick: bool = False
) -> None:
    options = Options(seeds, steps, out, quick)
    folder = Path(options.folder("throughput"))
    enable_compilation_cache()
    use_all_cores()
    size = options.size(seeds=COUNTS[-1], steps=100_000, evaluations=1)
    chosen = parse_seeds(size.pop("seeds"))
    counts = [count for count in COUNTS if count <= len(chosen)]
    seconds = []
    for count in counts:
        results = train(PPO(), CartPole(), seeds=chosen[:count], **size, out=folder / str(count))
        rate = throughput(results, results.runs)
        seconds.append(results.runs["steps"].sum() / rate)
        longer = f"{number(seconds[-1] / seconds[0])} times as long as {counted(counts[0], 'seed')}"
        print(f"{counted(count, 'seed')}: {number(seconds[-1])} s, {number(rate)} steps/s, {longer}")
    marks = [
        Line(x=counts, y=seconds, colour=COLOURS[0], legend="all seeds together"),
        Dots(x=counts, y=seconds, colour=COLOURS[0], size=8),
        Line(
            x=counts,
            y=[count * seconds[0] for count in counts],
            colour=NEUTRAL,
            dash="dash",
            legend="as many seeds one after another",
        ),
    ]
    x = Axis("seeds", log=True, ticks={count: f"{count:,}" for count in counts})
    y = Axis(f"seconds for {results.runs['steps'][0]:,} steps of each seed", log=True)
    figure = Figure(name="throughput", title="Time of training", caption="", x=x, y=y, marks=marks)
    save(figure, "PPO on CartPole", folder, "throughput")
    print(f"picture: {folder / 'throughput.png'}")


if __name__ == "__main__":
    run(main, "experiments/throughput.py", text=__doc__ + OPTIONS)
