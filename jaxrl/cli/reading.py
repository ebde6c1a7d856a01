"""Commands that read results folders: status, evaluate, report, compare, export.

Everything heavy is imported by the command that needs it, so that `--help` answers at once.
"""

import sys
from collections.abc import Sequence

from jaxrl.cli import arguments as arg
from jaxrl.cli.alive import alive
from jaxrl.cli.printing import print_evaluation
from jaxrl.cli.starting import prepare
from jaxrl.errors import InputError, unknown


def status(folder: str, /, trust: Sequence[str] = ()) -> None:
    """Says how far the study in a results folder is, also while other processes train it.

    The exit code is 0 if the study is complete and 1 if not.

    Args:
        folder: the results folder, or the URL of the study.
        trust (MODULE): imports a module, without which an environment of the folder is refused.
    """
    from jaxrl.store.status import Status
    from jaxrl.store.working_copy import opened

    arg.import_trusted(trust)
    found = Status.of(opened(folder))
    print(found)
    sys.exit(0 if found.complete else 1)


def evaluate(
    folder: str,
    /,
    environment: str | None = None,
    env: Sequence[str] = (),
    episodes: int = 100,
    runs: str | None = None,
    explore: bool = False,
    out: str | None = None,
    trust: Sequence[str] = (),
) -> None:
    """Evaluates the final policies of a results folder in any environments that fit them.

    Args:
        folder: the results folder.
        environment (NAME): a name from `jaxrl list`, or several joined by commas; the training environments
            if not given.
        env (FIELD=VALUE,...): a field of the environment; several values make several environments.
        episodes (INT): episodes of each run in each environment.
        runs (N, A:B or A,B,C): the runs 0 to N - 1, A to B - 1, or those listed; all if not given.
        explore: acts as at the end of training, not greedily.
        out (FILE): a CSV file with a row for each run and environment.
        trust (MODULE): imports a module, without which an environment of the folder is refused.
    """
    from jaxrl import registry
    from jaxrl.store.results import load
    from jaxrl.study.seeds import parse_seeds

    prepare()
    arg.import_trusted(trust)
    results = load(folder)
    trained_in = results.study.environments
    bases = trained_in if environment is None else arg.named(environment, registry.environment)
    table = results.evaluate(
        arg.grids(bases, "--env", env),
        episodes=episodes,
        runs=None if runs is None else parse_seeds(runs),
        explore=explore,
    )
    print_evaluation(results, table, out)


def report(
    folder: str,
    /,
    smallest_effect: str | None = None,
    out: str | None = None,
    films: bool = False,
    watch: bool = False,
    every: float | None = None,
    trust: Sequence[str] = (),
) -> None:
    """Writes report.html and figures/ on a results folder, or on all results folders in a folder.

    Args:
        folder: the results folder, or the folder of results folders.
        smallest_effect (RETURN or ENVIRONMENT=RETURN,...): the smallest difference of mean returns that
            matters, for all environments or for each by its name or label; if not given, no two settings are
            called equivalent.
        out (FOLDER): the folder for the report; the given folder if not given.
        films: embeds a film of the best, the median and the worst run of each setting drawn.
        watch: writes the page while the study is trained, whenever more was saved, and ends with the study.
        every (SECONDS): with --watch, the time between two looks at the folder; 30 if not given.
        trust (MODULE): imports a module, without which no film of its environments is made.
    """
    from jaxrl.report import watch_report, write_report
    from jaxrl.report.watching import EVERY

    if films:
        prepare()
        arg.import_trusted(trust)

    if every is not None and not watch:
        raise InputError("--every needs --watch")
    effects = arg.effects(smallest_effect)
    if watch:
        try:
            page = watch_report(folder, effects, out, films, every=EVERY if every is None else every)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("stopped; the page stays as it was written last") from None
    else:
        with alive("writing the report"):
            page = write_report(folder, effects, out, films)
    print(page)


def compare(
    folders: Sequence[str],
    /,
    metric: str = "eval_return",
    smallest_effect: str | None = None,
    baseline: str | None = None,
    all_pairs: bool = False,
    out: str | None = None,
) -> None:
    """Compares settings in results folders with the best; writes compare.csv, compare.md and compare.tex.

    Args:
        folders (FOLDER): results folders of the same environments and budget.
        metric (NAME): the score of a run: auc (area under the evaluations), training (mean return of training
            episodes), or the last value of any recorded metric. Greater is better.
        smallest_effect (RETURN or ENVIRONMENT=RETURN,...): the smallest difference of means that matters, for
            all environments or for each by its name or label; half the standard deviation between the runs of
            a setting if not given.
        baseline (SETTING): the setting that all others are compared with, by its label, such as
            "ppo learning_rate=0.001"; the best one of each environment if not given.
        all_pairs: compares every two settings; with hundreds of settings this takes minutes.
        out (FOLDER): the folder of the three files; the first results folder if not given.
    """
    from jaxrl.analysis import compare as comparing
    from jaxrl.analysis.console import print_comparisons

    with alive("comparing settings"):
        found = comparing.compare(
            folders, metric, arg.effects(smallest_effect), out, baseline=baseline, all_pairs=all_pairs
        )
    print_comparisons(*found)


def export(
    folders: Sequence[str],
    /,
    to: str,
    out: str | None = None,
    run: int = 0,
    steps: int = 10_000,
    explore: bool = False,
    trust: Sequence[str] = (),
) -> None:
    """Writes results folders in the format of another tool.

    Args:
        folders (FOLDER): the results folders.
        to (FORMAT): rliable (final scores as .npz), marl-eval (evaluations as .json), tensorboard (event
            files), wandb (offline runs of Weights & Biases), npz (transitions of one policy, a data set) or
            settings (study.toml, for `jaxrl train --config`).
        out (FILE): the file or the new folder; in the first results folder if not given.
        run (INT): npz: the run whose policy plays.
        steps (INT): npz: the number of transitions.
        explore: npz: the policy acts as at the end of training, not greedily.
        trust (MODULE): imports a module, without which an environment of the folder is refused.
    """
    from jaxrl.analysis import export as exporting
    from jaxrl.store.results import load
    from jaxrl.store.settings_file import write_settings
    from jaxrl.store.working_copy import output

    arg.import_trusted(trust)
    if to not in (formats := (*exporting.FILES, "npz", "settings")):
        raise unknown("format", to, formats)
    if to in ("npz", "settings") and len(folders) > 1:
        raise InputError(f"--to {to} needs one folder, got {len(folders)}")
    if to == "npz":
        print(exporting.export_transitions(folders[0], run, steps, explore=explore, out=out))
    elif to == "settings":
        results = load(folders[0])
        width = results.manifest["plan"]["width"]
        print(write_settings(results.study, output(out, results.path, "study.toml"), width))
    else:
        print(exporting.export(folders, to, out))
