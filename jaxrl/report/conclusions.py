"""Sentences on what the runs show and what they cannot show.

They are plain text with the names of settings in `backticks`.
"""

import datetime
import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from jaxrl.report.summary import METRICS, SETTINGS, Row, Section, Summary
from jaxrl.statistics import Interval, tolerance_runs
from jaxrl.text import bounds, counted, duration, listed, number, percent


def findings(section: Section) -> list[str]:
    """What can be concluded about one environment."""
    if not _scored(section):
        return []
    best = section.of(section.best)
    pairs = section.comparisons.to_dict("records")
    verdicts = [_verdict(pair, section.names) for pair in pairs if section.best in (pair["a"], pair["b"])]
    others = ["The table of comparisons also has the other pairs."] if len(pairs) > len(verdicts) else []
    return [*_level(best), *verdicts, *others]


def limits(section: Section) -> list[str]:
    """What cannot be concluded about one environment, and why."""
    return [
        *_without_scores(section),
        *_failures(section),
        *_few_runs(section),
        *_constant(section),
        *_choice(section),
        *_missing(section),
    ]


def study_limits(summary: Summary) -> list[str]:
    """What cannot be concluded from a study as a whole."""
    environments = len(summary.sections)
    if environments == 1:
        scope = "There is one environment only, so there is no aggregate over environments."
    elif summary.overall is None:
        scope = (
            "There is no aggregate over the environments. Their returns differ in scale, and at least one of "
            "them cannot be normalised: it lacks an evaluation before training or a return that counts as "
            "solved."
        )
    else:
        scope = (
            f"The aggregate is over these {environments} environments. Others may rank settings differently."
        )
    return [
        "This report is about new seeds of the same settings in the same environments, and about no others.",
        scope,
        *(f"{sentence[:1].upper()}{sentence[1:]}." for sentence in summary.unreached),
    ]


def progress(summary: Summary) -> list[str]:
    """How far an unfinished study is, and what its page therefore cannot show; [] if it is complete."""
    if (status := summary.status) is None:
        return []
    share = status.steps_done / status.steps
    saved = f"{status.steps_done:,} of {counted(status.steps, 'environment step')} ({share:.0%})"
    at = datetime.datetime.now().strftime("%H:%M:%S")
    serial = math.isnan(status.time_left)
    left = status.training_left if serial else status.time_left
    how = ", one batch after the other" if serial else ""
    told = "" if math.isnan(left) or not status.in_use else f" About {duration(left)} is left{how}."
    idle = " No process trains it: `jaxrl resume` finishes it." if status.in_use is False else ""
    return [
        f"The study `{summary.name}` is {'unfinished' if idle else 'running'}: {saved} were saved by {at}."
        f"{told}{idle}",
        "The page shows what was saved so far. Some runs may be missing, and others at different steps. "
        "There are no verdicts and no comparisons before the end, because the moment at which somebody looks "
        "would decide them.",
    ]


def _scored(section: Section) -> bool:
    return bool(section.scores["score"].notna().any())


def _level(row: Row) -> list[str]:
    """How good one setting is."""
    finished = row["runs"] - row["failed"]
    if finished == 1:
        return [f"The only run of `{row['setting']}` that has a score has {number(row['mean'])}."]
    sentences = [
        f"`{row['setting']}` scores {number(row['mean'])} on average over {counted(finished, 'run')}, "
        f"95 % interval {bounds(row['mean_low'], row['mean_high'])}."
    ]
    if not np.isnan(row["solved"]):
        solved = percent(Interval(row["solved"], row["solved_low"], row["solved_high"]))
        sentences.append(f"Of its runs, {solved} solve the environment.")
    if np.isfinite(row["tolerance_low"]):
        low, high = number(row["tolerance_low"]), number(row["tolerance_high"])
        there = low if low == high else f"between {low} and {high}"
        sentences.append(f"With 95 % confidence, nine in ten further runs of it score {there}.")
    return sentences


def _verdict(pair: Row, names: Mapping[str, str]) -> str:
    """One comparison. The setting with the higher mean is named first; by ranks, the one that wins more."""
    if pair["by_ranks"]:
        return _verdict_by_ranks(pair, names)
    ahead = not pair["difference"] < 0
    first, second = (names[pair[side]] for side in ("ab" if ahead else "ba"))
    if np.isnan(pair["difference_low"]):
        return f"`{first}` and `{second}` cannot be compared: it takes two runs of each."
    ends = sorted((1 if ahead else -1) * pair[f"difference_{end}"] for end in ("low", "high"))
    difference = f"{number(abs(pair['difference']))} {bounds(*ends)}"
    if pair["verdict"] == "equivalent":
        effect = number(pair["smallest_effect"])
        return (
            f"`{first}` and `{second}` are equivalent: the means differ by {difference}, less than {effect}."
        )
    if pair["verdict"] in ("better", "worse"):
        return f"`{first}` is better than `{second}`: its mean is higher by {difference}."
    if ends[0] > 0:
        difference += f", but p = {number(pair['p_holm'])} after Holm's correction"
    undecided = f"Whether `{first}` is better than `{second}` is undecided: the means differ by {difference}."
    return f"{undecided} {_runs_to_decide(pair)}".strip()


def _verdict_by_ranks(pair: Row, names: Mapping[str, str]) -> str:
    """One comparison in which a run failed."""
    ahead = pair["improvement"] >= 0.5
    first, second = (names[pair[side]] for side in ("ab" if ahead else "ba"))
    if np.isnan(pair["improvement_low"]):
        return f"`{first}` and `{second}` cannot be compared: it takes two runs of each."
    chances = [pair[name] for name in ("improvement", "improvement_low", "improvement_high")]
    chance = percent(Interval(*chances if ahead else (1 - chances[place] for place in (0, 2, 1))))
    wins = (
        f"a run of the first beats one of the second with a chance of {chance}, a failed run being the worst"
    )
    if pair["verdict"] in ("better", "worse"):
        return f"`{first}` is better than `{second}`: {wins}."
    undecided = f"Whether `{first}` is better than `{second}` is undecided: {wins}."
    return f"{undecided} {_runs_to_decide(pair)}".strip()


def _runs_to_decide(pair: Row) -> str:
    """How many runs would decide an undecided comparison."""
    if not np.isnan(pair["runs_needed"]):
        needed, effect = int(pair["runs_needed"]), number(pair["smallest_effect"])
        if needed <= min(pair["runs_a"], pair["runs_b"]):
            return (
                f"A difference of {effect} would probably have been found: it takes {needed:,} runs of each."
            )
        return f"It takes {needed:,} runs of each to find a difference of {effect} with a chance of 80 %."
    if np.isposinf(pair["pilot_runs"]):
        return "It would take more than 1,024 runs of each to find such a difference."
    if not np.isnan(pair["pilot_runs"]):
        runs = f"{int(pair['pilot_runs']):,} runs of each"
        return f"If that is the true difference, {runs} find it with a chance of 80 %."
    return ""


def _without_scores(section: Section) -> list[str]:
    if section.metric is None:
        return ["The study holds neither evaluations nor training returns, so no run has a score."]
    if not _scored(section):
        return ["No run has a score, so nothing can be said about how good they are."]
    if section.metric == METRICS["training"]:
        return [
            "The study holds no evaluations: a score is a run's last training return, by the exploring "
            "policy."
        ]
    return []


def _failures(section: Section) -> list[str]:
    """Failed runs, and how they count."""
    failed = section.description[section.description["failed"] > 0]
    if failed.empty:
        return []
    named, others = failed.iloc[:4], failed.iloc[4:]
    parts = [f"{row['failed']} of {row['runs']} of `{row['setting']}`" for row in named.to_dict("records")]
    if not others.empty:
        settings = counted(len(others), "other setting")
        parts.append(f"{others['failed'].sum()} of {others['runs'].sum()} of {settings}")
    return [
        f"Runs failed: {listed(parts)}. Means leave them out, which flatters a setting. Medians, tolerance "
        "intervals and shares count failed runs as the worst. A comparison with failed runs is by ranks, "
        "with failed runs as the worst, and never says that two settings are equivalent."
    ]


def _few_runs(section: Section) -> list[str]:
    """Too few runs for an interval of the mean, or for a tolerance interval."""
    described, needed = section.description, tolerance_runs()
    few = described[described["runs"] < needed]
    sentences = []
    if ((described["runs"] - described["failed"]) == 1).any():
        sentences.append("A single run says nothing about other seeds, so its score has no interval.")
    if not few.empty:
        which = "" if len(few) == len(described) else f" for {_named(few)}"
        low, high = few["runs"].min(), few["runs"].max()
        there = str(low) if low == high else f"{low} to {high}"
        sentences.append(
            f"There is no tolerance interval{which}, the range of nine in ten runs: it takes {needed} "
            f"runs of a setting, and there {'is' if high == 1 else 'are'} {there}."
        )
    return sentences


def _constant(section: Section) -> list[str]:
    """Settings whose runs all score the same."""
    described = section.description
    same = described[(described["sd"] == 0) & (described["failed"] == 0)]
    if same.empty:
        return []
    return [
        f"All runs of {_named(same)} score the same. Their intervals have no width, but the next run may "
        "differ: a rare outcome may be missing among these runs."
    ]


def _choice(section: Section) -> list[str]:
    """The consequences of choosing among several settings, or of having only one."""
    settings = len(section.description)
    if settings == 1:
        return ["There is one setting only, so there is nothing to compare it with."]
    sentences = []
    if settings > SETTINGS:
        sentences.append(
            f"Of {settings} settings the best {SETTINGS} are drawn and compared. The table of settings has "
            "all of them, and Holm's correction counts all their pairs, because the same runs chose the best."
        )
    optimism = section.selection["optimism"].iloc[0]
    if optimism > 0:
        sentences.append(
            f"The best of {settings} settings was chosen by the same runs that score it, so its score is "
            f"optimistic, by {number(optimism)} on average if all settings are equally good. Only new seeds "
            "give a fair score."
        )
    if section.smallest_effect is None and _scored(section):
        sentences.append(
            "No smallest effect that matters was given (--smallest-effect), so no two settings can be called "
            "equivalent."
        )
    return sentences


def _missing(section: Section) -> list[str]:
    """Numbers and curves that the study does not have."""
    sentences = []
    if section.threshold is None:
        sentences.append("No return counts as solved here, so there is no share of runs that solve it.")
    for kind in METRICS:
        curves = section.curves.get(kind, {})
        drawn = [label for label, each in curves.items() if each.bands["mean"].notna().any()]
        without = section.description[~section.description["setting"].isin(drawn)]
        without = without[without["setting"].isin(section.shown)]
        gone = without["failed"] == without["runs"]
        if gone.any() and _scored(section):
            sentences.append(f"There is no {kind} curve of {_named(without[gone])}: all its runs failed.")
        without = without[~gone]
        if not without.empty and _scored(section):
            which = f" of {_named(without)}" if drawn else ""
            sentences.append(f"There is no {kind} curve{which}, since no value was recorded.")
    if section.power.empty and _scored(section):
        sentences.append("There is no power curve, since no setting has runs that differ.")
    return sentences


def _named(rows: pd.DataFrame, most: int = 4) -> str:
    """The settings of some rows, the first few by name."""
    names = [f"`{setting}`" for setting in rows["setting"]]
    return listed(names if len(names) <= most + 1 else [*names[:most], f"{len(names) - most} others"])
