"""Does an agent that learned with many cart-poles balance more of them than one that learned with one?

python experiments/physics_randomisation.py, an estimated ten minutes on two cores

For one agent each episode draws the length of the pole and the force of a push. For the other both are
CartPole's own. Both are tested on a grid of lengths and forces, which reaches beyond those that are drawn.
"""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from envs import CartPole
from envs.wrappers import Randomised
from jaxrl import enable_compilation_cache, grid, train, use_all_cores
from jaxrl.algorithms import PPO
from jaxrl.cli.script import OPTIONS, Options
from jaxrl.cli.usage import run
from jaxrl.report.static import STYLE
from jaxrl.statistics import difference_interval, mean_interval
from jaxrl.text import estimate

LENGTHS = [0.125, 0.25, 0.5, 1.0, 2.0, 4.0]  # half a pole's length, m
FORCES = [2.5, 5.0, 10.0, 20.0, 40.0]  # N
LOW, HIGH = CartPole(pole_length=0.25, force=5.0), CartPole(pole_length=2.0, force=20.0)
TRAINED = {  # an empty range shares its program with the other one
    "one cart-pole": Randomised(env=CartPole(), high=CartPole(), scale="log"),
    "many cart-poles": Randomised(env=LOW, high=HIGH, scale="log"),
}


def heat_map(returns: dict[str, np.ndarray], drawn: np.ndarray, file: Path) -> None:
    """Draws the mean returns of each agent, those of drawn constants in bold: [lengths, forces] each."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 3.4), layout="constrained")
        panels = figure.subplots(1, len(returns), sharey=True)
        for axes, (name, cells) in zip(panels, returns.items(), strict=True):
            image = axes.imshow(cells.T, vmin=0, vmax=500, origin="lower", aspect="auto", cmap="cividis")
            for place, value in np.ndenumerate(cells):
                look = {"weight": "bold" if drawn[place] else "normal", "color": "wk"[int(value > 250)]}
                axes.text(*place, f"{value:.0f}", ha="center", va="center", **look)
            axes.set(title=f"learned with {name}", xlabel="half the pole's length, m")
            axes.set_xticks(range(len(LENGTHS)), map(str, LENGTHS))
            axes.set_yticks(range(len(FORCES)), map(str, FORCES))
        panels[0].set_ylabel("force of a push, N")
        figure.colorbar(image, ax=panels, label="mean return; bold: may be drawn")
        figure.savefig(file)


def main(
    seeds: str | None = None, steps: int | None = None, out: str | None = None, quick: bool = False
) -> None:
    options = Options(seeds, steps, out, quick)
    folder = options.folder("physics_randomisation")
    enable_compilation_cache()
    use_all_cores()
    size = options.size(seeds=128, steps=300_000, evaluations=10)
    results = train(PPO(learning_rate=1e-3), [*TRAINED.values()], **size, out=folder)
    tests = grid(CartPole(), pole_length=LENGTHS, force=FORCES)
    table = results.evaluate({str(number): env for number, env in enumerate(tests)}, episodes=20)
    table = table.astype({"environment": int}).pivot(index="run", columns="environment", values="return")
    one, many = (rows.to_numpy() for _, rows in table.groupby(results.runs["setting"]))  # [runs, tests]
    lengths, forces = np.array([(env.pole_length, env.force) for env in tests]).T
    drawn = (lengths >= LOW.pole_length) & (lengths <= HIGH.pole_length)
    drawn &= (forces >= LOW.force) & (forces <= HIGH.force)
    own = (lengths == CartPole().pole_length) & (forces == CartPole().force)
    parts = {"CartPole's own": own, "those that may be drawn": drawn, "those beyond": ~drawn}
    for where, chosen in parts.items():
        a, b = (agent[:, chosen].mean(axis=1) for agent in (many, one))
        scores = [estimate(mean_interval(each, np.random.default_rng(0))) for each in (a, b)]
        difference = estimate(difference_interval(a, b, np.random.default_rng(0)))
        print(f"constants: {where}. Many: {scores[0]}. One: {scores[1]}. Difference: {difference}")
    shape = (len(LENGTHS), len(FORCES))
    means = [agent.mean(axis=0).reshape(shape) for agent in (one, many)]
    heat_map(
        dict(zip(TRAINED, means, strict=True)), drawn.reshape(shape), file := Path(folder) / "heat_map.png"
    )
    print(f"{file} shows every length and force")


if __name__ == "__main__":
    run(main, "experiments/physics_randomisation.py", text=__doc__ + OPTIONS)
