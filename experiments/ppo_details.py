"""Which details of PPO matter? Each is left out alone, in CartPole and in Acrobot.

python experiments/ppo_details.py, an estimated fifteen minutes on two cores

A line is what leaving out one detail adds to the mean final return, with the 95 % interval of the difference
and Welch's p-value after Holm's correction over all lines.
"""

import numpy as np
import pandas as pd

from envs import Acrobot, CartPole
from envs.wrappers import TerminalLimit
from jaxrl import Results, enable_compilation_cache, train, use_all_cores
from jaxrl.algorithms import PPO
from jaxrl.cli.script import OPTIONS, Options
from jaxrl.cli.usage import run
from jaxrl.learning.networks import MLP
from jaxrl.statistics import difference_interval, holm, welch_p
from jaxrl.text import estimate

WITHOUT = {
    "normalisation of advantages": PPO(normalise_advantage=False),
    "clipping of values": PPO(clip_value_loss=False),
    "annealing of the learning rate": PPO(anneal_learning_rate=False),
    "orthogonal initialisation": PPO(network=MLP(hidden=(64, 64), initialiser="lecun_normal")),
    "clipping of gradients": PPO(max_grad_norm=1e6),
    "lambda below 1": PPO(gae_lambda=1.0),
}
LIMIT = "bootstrapping at the time limit"


def scores(results: Results) -> list[np.ndarray]:
    """The final returns of each setting: [runs] each."""
    by_setting = results.final().groupby(results.runs.set_index("run")["setting"])
    return [runs.to_numpy() for _, runs in by_setting]


def main(
    seeds: str | None = None, steps: int | None = None, out: str | None = None, quick: bool = False
) -> None:
    options = Options(seeds, steps, out, quick)
    enable_compilation_cache()
    use_all_cores()
    size, rows, rng = options.size(seeds=100, steps=200_000, evaluations=10), [], np.random.default_rng(0)
    for env in [CartPole()] if quick else [CartPole(), Acrobot()]:
        folder = f"{options.folder('ppo_details')}/{env.title}"
        others = [*WITHOUT.values()][:1] if quick else [*WITHOUT.values()]
        full, *found = scores(train([PPO(), *others], env, **size, out=folder))
        found += scores(train(PPO(), TerminalLimit(env=env), **size, out=f"{folder}-limit"))
        for name, changed in zip([*[*WITHOUT][: len(others)], LIMIT], found, strict=True):
            difference = estimate(difference_interval(changed, full, rng))
            rows.append({"": env.title, "without": name, "adds": difference, "p": welch_p(changed, full)})
    table = pd.DataFrame(rows)
    print(table.assign(p=holm(table["p"].to_numpy())).to_string(index=False, float_format="{:.3f}".format))


if __name__ == "__main__":
    run(main, "experiments/ppo_details.py", text=__doc__ + OPTIONS)
