"""Commands that read results folders: evaluate, report, compare, export.

Everything heavy is imported by the command that needs it, so that `--help` answers at once.
"""

from jaxrl.cli import arguments as arg
from jaxrl.cli import training
from jaxrl.cli.printing import print_evaluation
from jaxrl.errors import InputError


def evaluate(
    folder: arg.Folder,
    /,
    environment: arg.OptionalName = None,
    env: arg.Assignments = (),
    episodes: arg.Count = "100",
    runs: arg.OptionalSeeds = None,
    explore: arg.Flag = False,
    out: arg.OptionalFile = None,
) -> None:
    """Evaluates the final policies of a results folder in any environments that fit them.

    Args:
        folder: the results folder.
        environment: a name from `jaxrl list`, or several joined by commas; the training environments if not
            given.
        env: field=value, or field=value,value,... for several environments.
        episodes: episodes of each run in each environment.
        runs: the runs 0 to N - 1, or A to B - 1; all if not given.
        explore: acts as at the end of training, not greedily.
        out: a CSV file with a row for each run and environment.
    """
    from jaxrl import registry
    from jaxrl.store.results import load
    from jaxrl.study.seeds import parse_seeds

    training.prepare()
    results = load(folder)
    trained_in = results.study.environments
    bases = trained_in if environment is None else arg.named(environment, registry.environment)
    table = results.evaluate(
        arg.grids(bases, "--env", env),
        episodes=arg.integer("episodes", episodes),
        runs=None if runs is None else parse_seeds(runs),
        explore=explore,
    )
    print_evaluation(results, table, out)


def report(folder: arg.Folder, /, smallest_effect: arg.OptionalEffects = None) -> None:
    """Writes report.html and figures/ into a results folder, or into a folder of results folders.

    Args:
        folder: the results folder, or the folder of results folders.
        smallest_effect: the smallest difference of mean returns that matters, for all environments or for
            each by its name or label; if not given, no two settings are called equivalent.
    """
    from jaxrl.report import write_report

    print(write_report(folder, arg.effects(smallest_effect)))


def compare(
    folders: arg.Folders,
    /,
    metric: arg.Name = "eval_return",
    smallest_effect: arg.OptionalEffects = None,
    out: arg.OptionalFolder = None,
) -> None:
    """Compares all pairs of settings in results folders; writes compare.csv, compare.md and compare.tex.

    Args:
        folders: results folders of the same environments and budget.
        metric: the score of a run: auc (area under the evaluations), training (mean return of training
            episodes), or the last value of any recorded metric. Greater is better.
        smallest_effect: the smallest difference of means that matters, for all environments or for each by
            its name or label; half the standard deviation between the runs of a setting if not given.
        out: the folder of the three files; the first results folder if not given.
    """
    from jaxrl.analysis import compare as comparing

    comparing.show(comparing.compare(folders, metric, arg.effects(smallest_effect), out))


def export(
    folders: arg.Folders,
    /,
    to: arg.Form,
    out: arg.OptionalFile = None,
    run: arg.Count = "0",
    steps: arg.Count = "10000",
    explore: arg.Flag = False,
) -> None:
    """Writes results folders in the format of another tool.

    Args:
        folders: the results folders.
        to: rliable (final scores as .npz), marl-eval (evaluations as .json), tensorboard (event files), wandb
            (offline runs of Weights & Biases) or npz (transitions of one policy, a data set).
        out: the file or the new folder; in the first results folder if not given.
        run: npz: the run whose policy plays.
        steps: npz: the number of transitions.
        explore: npz: the policy acts as at the end of training, not greedily.
    """
    from jaxrl.analysis import export as exporting

    if to != "npz":
        print(exporting.export(folders, to, out))
        return
    if len(folders) > 1:
        raise InputError(f"npz holds transitions of one folder's policy, got {len(folders)} folders")
    number, count = arg.integer("run", run, low=0), arg.integer("steps", steps)
    print(exporting.export_transitions(folders[0], number, count, explore=explore, out=out))
