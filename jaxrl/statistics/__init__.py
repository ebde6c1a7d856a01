"""Statistics over runs, in numpy and scipy alone. The unit is always the run."""

from jaxrl.statistics.intervals import Interval, curve_band, mean_interval, share_interval

__all__ = ["Interval", "curve_band", "mean_interval", "share_interval"]
