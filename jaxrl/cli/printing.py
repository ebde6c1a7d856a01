"""What the commands print: names, fields, plans, summaries and outcomes."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jaxrl.errors import InputError, with_urls
from jaxrl.text import command, counted, estimate, number, parts, print_table, with_failed

if TYPE_CHECKING:
    import pandas as pd

    from jaxrl.run.reproduce import Reproduction, SavedStates
    from jaxrl.store.results import Results


def print_list(presets: bool = False) -> None:
    """Lists the environments, algorithms and components, such as networks and wrappers.

    Args:
        presets: lists the reference settings for `jaxrl train --preset` instead.
    """
    from jaxrl import registry

    if presets:
        print_presets()
        return
    adapters = {f"{prefix}:NAME": adapter for prefix, adapter in registry.adapters().items()}
    kinds: dict[str, Mapping[str, object]] = {
        "environment": registry.environments() | adapters,
        "algorithm": registry.algorithms(),
        "component": registry.components(),
    }
    for kind, registered in kinds.items():
        print_table((kind, ""), [(name, _summary(registered[name])) for name in sorted(registered)])
    print(" jaxrl train ALGORITHM ENVIRONMENT --help lists their fields")


def print_presets() -> None:
    """Lists the presets."""
    from jaxrl.presets import PRESETS

    rows = [(*names, f"{preset.steps:,}", f"{preset.seeds:,}") for names, preset in PRESETS.items()]
    print_table(("algorithm", "environment", "steps", "seeds"), rows)
    print(" jaxrl train ALGORITHM ENVIRONMENT --preset --dry-run shows the settings")


def print_preset(study: Mapping[str, Any]) -> None:
    """Says, on the standard error, what a preset and the options beside it make of a study."""
    from jaxrl.registry import label_of
    from jaxrl.run.progress import say

    settings, worlds = (", ".join(map(label_of, study[kind])) for kind in ("algorithm", "environment"))
    numbers = ("seeds", "steps", "evaluation_episodes")
    say(f"preset: {settings} in {worlds}, {', '.join(f'{name}={study[name]}' for name in numbers)}")


def print_fields(names: Sequence[str]) -> None:
    """Prints the fields of the given algorithms and environments: ALGORITHM[,...] and ENVIRONMENT[,...].

    Raises InputError for an unknown name.
    """
    from jaxrl import registry
    from jaxrl.config import meanings
    from jaxrl.fields import shown

    finders = (("--set", registry.algorithm), ("--env", registry.environment))
    chosen = [
        (name, option, find(name))
        for joined, (option, find) in zip(names[:2], finders, strict=False)
        for name in parts(joined)
    ]
    for name, option, config in chosen:
        print(f"{name}: {_summary(config)}\n\n{config.__doc__}\n")
        texts, values = meanings(config), registry.plain_parameters(config)
        rows = [(field, shown(value), texts[field]) for field, value in values.items()]
        print_table((f"{option} field", "default", "meaning"), rows)


def print_plan(arguments: Mapping[str, Any]) -> None:
    """Prints the plan of the study that these arguments of `jaxrl.plan` describe."""
    from jaxrl.compiled.lane_memory import parse_bytes
    from jaxrl.study.plan import make_plan
    from jaxrl.study.study import make_study

    study = {name: value for name, value in arguments.items() if name not in ("out", "width", "memory")}
    memory = None if arguments["memory"] is None else parse_bytes(arguments["memory"])
    print(make_plan(make_study(**study), arguments.get("width"), memory))


def print_planned(arguments: Mapping[str, Any]) -> None:
    """Plans the study that these arguments of `jaxrl.plan` describe, and says how to train it."""
    from jaxrl.run.work import plan

    print(f"train it with: {command('work', plan(**arguments))}")


def print_summary(results: "Results") -> None:
    """Prints a line for each setting: runs, final mean with interval, share of solved runs."""
    import numpy as np

    from jaxrl.report.page import share
    from jaxrl.report.summary import throughput
    from jaxrl.statistics import Interval, describe, final_scores
    from jaxrl.statistics.intervals import RESAMPLING_SEED

    plan = results.manifest["plan"]
    counts = [(len(results.runs), "run"), (plan["programs"], "program"), (plan["batches"], "batch")]
    print(f"{', '.join(counted(*each) for each in counts)} of width {plan['width']}\n")
    scores = final_scores(results.runs, results.curves)
    described = describe(scores, np.random.default_rng(RESAMPLING_SEED))
    for environment, settings in described.groupby("environment", sort=False):
        rows = []
        for row in settings.to_dict("records"):
            runs, final = with_failed(row["runs"], row["failed"]), estimate(Interval.of(row, "mean"))
            rows.append((row["setting"], runs, final, share(row)))
        print_table((str(environment), "runs", "final mean [95 %]", "solved [95 %]"), rows)
        speed = throughput(results, scores[scores["environment"] == environment])
        print(f"{number(speed)} training steps/s\n")
    print(*results.unreached, sep="\n", end="\n" if results.unreached else "")
    then = command("report", results.path)
    print(with_urls(f"{results.path} holds manifest, tables and final states; next: {then}"))


def print_evaluation(results: "Results", table: "pd.DataFrame", out: str | None) -> None:
    """Prints a line for each environment and setting. Writes all rows to the CSV file `out`, if given."""
    import numpy as np

    from jaxrl.statistics import final_scores, mean_interval
    from jaxrl.statistics.intervals import RESAMPLING_SEED
    from jaxrl.store.files import located, write_text

    rng = np.random.default_rng(RESAMPLING_SEED)
    labels = final_scores(results.runs, results.curves).set_index("run")["setting"]
    rows = []
    for (environment, setting), runs in table.groupby(["environment", table["run"].map(labels)], sort=False):
        mean, length = estimate(mean_interval(runs["return"], rng)), number(float(runs["length"].mean()))
        rows.append((str(environment), str(setting), str(len(runs)), mean, length))
    print_table(("environment", "setting", "runs", "mean return [95 %]", "mean length"), rows, width=200)
    if out is not None:
        try:
            write_text(located(out), table.to_csv(index=False))
        except OSError as error:
            raise InputError(f"{out} cannot be written: {error.strerror or error}") from None
        print(f"{out} has a row for each run and environment")


def print_outcomes(outcomes: "Iterable[SavedStates | Reproduction]") -> int:
    """Prints each outcome of a comparison as soon as it is known. Returns the command's exit code."""
    code = 0
    for outcome in outcomes:
        print(outcome, flush=True)
        code = code if outcome.acceptable else 1
    return code


def _summary(config: object) -> str:
    """The first line about a config: of its module's docstring, but of its own where a module has several."""
    from jaxrl.learning.algorithm import Algorithm
    from jaxrl.mdp.bandit import Bandit
    from jaxrl.mdp.environment import Environment

    derived = type(config).__base__.__module__ == config.__module__  # from another class of its module
    alone = isinstance(config, Environment) and not isinstance(config, Bandit)
    alone = alone or (isinstance(config, Algorithm) and not derived)
    module = sys.modules[config.__module__].__doc__ if alone else None
    return (module or config.__doc__ or "").partition("\n")[0]
