"""Do the agents of popular tutorials learn? How many seeds work with their settings, and what mends it.

python experiments/tutorials.py, an estimated half an hour on two cores; tutorials.toml has the settings

Public tutorials publish one run. A line is the share of seeds whose greedy policy works at the first of 100
evaluations after the tutorial's number of episodes, with its 95 % interval; then the same with other
settings. Random and heuristic policies are the floor. Left out are tutorials that update once an episode from
a replay, by PPO or by an actor-critic, which these algorithms do not do.
"""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np

from jaxrl import Results, enable_compilation_cache, registry, train, use_all_cores, write_report
from jaxrl.cli.script import OPTIONS, Options
from jaxrl.cli.usage import run
from jaxrl.fields import shown
from jaxrl.statistics import solve_share
from jaxrl.text import file_name, number, percent, with_failed

TUTORIALS: dict[str, dict[str, Any]] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())
EVALUATIONS = 100  # of a run


def judged(results: Results, episodes: float) -> np.ndarray:
    """The return of each run's evaluation after so many episodes, or of its last one: [runs]."""
    lengths, returns = results.metric("length"), results.metric("eval_return")
    steps = np.diff([0, *lengths.columns])
    ended = np.nancumsum(steps / lengths.to_numpy(), axis=1) >= episodes
    at = np.where(ended.any(axis=1), ended.argmax(axis=1), len(steps) - 1)
    return returns[lengths.columns].to_numpy()[np.arange(len(at)), at]


def trained(name: str, changes: dict[str, Any], options: Options, folder: Path) -> Results:
    """A tutorial's runs with some of its settings changed."""
    tutorial = TUTORIALS[name]
    algorithm, environment = tutorial["train"].split()
    settings = tutorial.get("set", {}) | changes
    return train(
        registry.configured(registry.algorithm(algorithm), settings, {}),
        registry.configured(registry.environment(environment), tutorial.get("env", {}), {}),
        **options.size(
            seeds=tutorial.get("seeds", 256), steps=tutorial["steps"], evaluations=EVALUATIONS, fresh=True
        ),
        evaluation_episodes=tutorial.get("evaluation_episodes", 20),
        out=folder / file_name(f"{name} {changes or ''}"),
    )


def main(
    seeds: str | None = None, steps: int | None = None, out: str | None = None, quick: bool = False
) -> None:
    options = Options(seeds, steps, out, quick)
    folder = Path(options.folder("tutorials"))
    enable_compilation_cache()
    use_all_cores()
    for name in [*TUTORIALS][:2] if quick else TUTORIALS:
        tutorial = TUTORIALS[name]
        variants: list[dict[str, Any]] = [{}, *filter(None, [tutorial.get("mended")])]
        for changes in variants:
            scores = judged(trained(name, changes, options, folder), tutorial.get("episodes", np.inf))
            with_ = ", ".join(f"{field}={shown(value)}" for field, value in changes.items())
            works, mean = percent(solve_share(scores, tutorial["aim"])), number(np.nanmean(scores))
            runs = with_failed(f"{len(scores)} seeds", int(np.isnan(scores).sum()))
            print(f"{f'  with {with_}' if changes else name}: {works} of {runs}, mean {mean}")
    print(f"report: {write_report(folder)}")


if __name__ == "__main__":
    run(main, "experiments/tutorials.py", text=__doc__ + OPTIONS)
