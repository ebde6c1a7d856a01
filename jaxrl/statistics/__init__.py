"""Statistics of runs. They need numpy, scipy and pandas, but not jax.

The unit of every statistic is the run, and greater scores are better. `jaxrl.statistics.tables` lists the
columns of the tables of runs, curves and scores that these functions take. A function that resamples takes a
numpy.random.Generator.

A failed run has the score NaN and stays in every table. No number is made up for it. Statistics treat it in
one of three ways:

- Averages and spreads are over the finite runs, and tables count the failed runs beside them: mean,
  difference of means, IQM, optimality gap, standard deviation, interquartile range, bands of the mean curve.
- Statistics that sort or count runs place a failed run below every finite score: median, tolerance interval,
  lower CVaR, performance profile, probability of improvement, solve share, time to a threshold.
- Statistics that rank settings by their means use the ranks of the runs instead of their scores as soon as
  one run failed: tests of a difference, verdicts, selection, sensitivity, the power of a pilot. The test of
  equivalence is not done then.
"""

from jaxrl.statistics.aggregates import aggregate, performance_profile
from jaxrl.statistics.comparison import (
    Comparison,
    compare,
    difference_interval,
    improvement_interval,
    verdict,
)
from jaxrl.statistics.comparisons import (
    compare_all,
    compare_with_baseline,
    compare_with_best,
    possible_pairs,
)
from jaxrl.statistics.curves import curve_band, mean_curves, simultaneous_band, tolerance_band, within_run_iqr
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
    "compare_with_baseline",
    "compare_with_best",
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
    "possible_pairs",
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
