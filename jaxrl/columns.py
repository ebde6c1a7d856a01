"""The columns of the tables that a study writes: their kinds, and whether a value may be missing."""

from typing import NamedTuple


class Column(NamedTuple):
    kind: str  # "integer", "number", "text" or "truth value"
    may_miss: bool = False


# One row per run. Further columns are fields of the algorithm and, as "env.<field>", of the environment.
RUN_COLUMNS = {
    "run": Column("integer"),  # number of the run in its study
    "setting": Column("integer"),  # number of the pair of environment and algorithm
    "seed": Column("integer"),
    "status": Column("text"),  # "complete" or, if a metric or the state stopped being finite, "failed"
    "failed_iteration": Column("number", may_miss=True),  # iterations after which this was first found
    "failed_metric": Column("text", may_miss=True),  # the metric that was not finite, or "state"
    "steps": Column("integer"),  # environment steps of the run's training
    "environment": Column("text"),  # name
    "algorithm": Column("text"),  # name
    "solved_return": Column("number", may_miss=True),  # mean return that counts as solved
}
# One row per value of a metric.
CURVE_COLUMNS = {
    "run": Column("integer"),  # as in the table of runs
    "step": Column("integer"),  # environment steps of the run so far
    "metric": Column("text"),  # name
    "value": Column("number", may_miss=True),  # missing if the metric has none there
}
