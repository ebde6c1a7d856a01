"""Statistics over runs, in numpy, scipy and pandas alone. The unit is always the run.

A score table has one row a run: run, environment, setting, score and whatever else describes it. All that
resamples takes an explicit numpy.random.Generator.

A failed run has the score NaN and stays in every table. It ranks below every finite score, and no number is
made up for it. So averages and spreads (mean, difference of means, IQM, optimality gap, sd, IQR, bands) are
over the finite runs, with the number of failed ones beside them; what sorts runs (median, tolerance interval,
lower CVaR, profile, probability of improvement, solve share, time to a threshold) puts it below all; and what
ranks settings by their means (tests and verdicts, selection, sensitivity, a pilot's power) takes, where a run
failed, the runs' ranks instead of their scores, and calls no two settings equivalent.
"""

from jaxrl.statistics.aggregates import aggregate, performance_profile
from jaxrl.statistics.comparison import (
    Comparison,
    compare,
    compare_all,
    difference_interval,
    improvement_interval,
    verdict,
)
from jaxrl.statistics.curves import (
    curve_band,
    mean_curves,
    simultaneous_band,
    tolerance_band,
    within_run_iqr,
)
from jaxrl.statistics.description import describe
from jaxrl.statistics.estimators import iqm, iqr, lower_cvar, mean, median, optimality_gap, sd
from jaxrl.statistics.intervals import (
    RESAMPLES,
    Interval,
    Tolerance,
    bootstrap_interval,
    mean_interval,
    share_interval,
    solve_share,
    tolerance_interval,
    tolerance_runs,
)
from jaxrl.statistics.power import pilot_power, pilot_runs_needed, runs_needed, t_test_power
from jaxrl.statistics.scores import (
    area_scores,
    final_scores,
    label_settings,
    normalise,
    training_scores,
    varied_parameters,
)
from jaxrl.statistics.selection import expected_optimism, fresh_scores, select, sensitivity
from jaxrl.statistics.significance import equivalence_p, holm, mann_whitney_p, permutation_p, welch_p
from jaxrl.statistics.times import MedianTime, kaplan_meier, median_time, median_times, threshold_times

__all__ = [
    "RESAMPLES",
    "Comparison",
    "Interval",
    "MedianTime",
    "Tolerance",
    "aggregate",
    "area_scores",
    "bootstrap_interval",
    "compare",
    "compare_all",
    "curve_band",
    "describe",
    "difference_interval",
    "equivalence_p",
    "expected_optimism",
    "final_scores",
    "fresh_scores",
    "holm",
    "improvement_interval",
    "iqm",
    "iqr",
    "kaplan_meier",
    "label_settings",
    "lower_cvar",
    "mann_whitney_p",
    "mean",
    "mean_curves",
    "mean_interval",
    "median",
    "median_time",
    "median_times",
    "normalise",
    "optimality_gap",
    "performance_profile",
    "permutation_p",
    "pilot_power",
    "pilot_runs_needed",
    "runs_needed",
    "sd",
    "select",
    "sensitivity",
    "share_interval",
    "simultaneous_band",
    "solve_share",
    "t_test_power",
    "threshold_times",
    "tolerance_band",
    "tolerance_interval",
    "tolerance_runs",
    "training_scores",
    "varied_parameters",
    "verdict",
    "welch_p",
    "within_run_iqr",
]
