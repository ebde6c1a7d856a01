"""Makes statistics.json, the numbers of rliable and statsmodels that tests compare ours with.

pip install rliable==1.2.0 'pandas<3' statsmodels==0.15.0
python tests/golden/statistics.py > tests/golden/statistics.json
"""

import json

import numpy as np
from rliable import library, metrics
from statsmodels.duration.survfunc import SurvfuncRight
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestIndPower
from statsmodels.stats.proportion import proportion_confint

AGGREGATES = ("mean", "median", "iqm", "optimality_gap")
TAUS = [0.0, 0.25, 0.5, 0.75, 1.0]
P_VALUES = [0.01, 0.04, 0.03, 0.005, 0.5]
TIMES = [3, 5, 5, 8, 8, 10, 12, 12, 15, 20, 22, 25, 26, 28, 30]
REACHED = [1, 1, 0, 1, 1, 0, 1, 0, 1, 1, 1, 1, 1, 1, 0]


def aggregates(scores):
    return np.array([getattr(metrics, f"aggregate_{name}")(scores) for name in AGGREGATES])


rng = np.random.default_rng(0)
scale = [1, 0.8, 1.2, 0.5]
a = np.round(rng.normal(0.6, 0.3, (12, 4)) * scale, 2)  # [runs, environments]
b = np.round(rng.normal(0.4, 0.3, (12, 4)) * scale, 2)
draw = np.random.RandomState(0)
point, bounds = library.get_interval_estimates({"a": a}, aggregates, reps=20_000, random_state=draw)
profile, profile_bounds = library.create_performance_profile({"a": a}, TAUS, reps=5_000)
pair = {"pair": (a[:, :1], b[:, :1])}
_, improvement_bounds = library.get_interval_estimates(
    pair, metrics.probability_of_improvement, reps=20_000, random_state=draw
)
survival = SurvfuncRight(np.array(TIMES, float), np.array(REACHED))
power = TTestIndPower()
golden = {
    "a": a.tolist(),
    "b": b.tolist(),
    "aggregates": dict(zip(AGGREGATES, zip(point["a"], *bounds["a"], strict=True), strict=True)),
    "taus": TAUS,
    "profile": profile["a"].tolist(),
    "profile_low": profile_bounds["a"][0].tolist(),
    "profile_high": profile_bounds["a"][1].tolist(),
    "improvement": [float(metrics.probability_of_improvement(a[:, [i]], b[:, [i]])) for i in range(4)],
    "improvement_bounds": np.ravel(improvement_bounds["pair"]).tolist(),
    "p_values": P_VALUES,
    "holm": multipletests(P_VALUES, method="holm")[1].tolist(),
    "power": [[d, n, power.power(d, n, 0.05)] for d in (0.5, 1.0, 2.0) for n in (5, 12, 20)],
    "runs": [[d, power.solve_power(d, power=0.8, alpha=0.05)] for d in (0.2, 0.5, 1.0, 1.5, 2.0)],
    "wilson_60_of_64": list(proportion_confint(60, 64, method="wilson")),
    "times": TIMES,
    "reached": REACHED,
    "survival_steps": survival.surv_times.tolist(),
    "survival": survival.surv_prob.tolist(),
    "median_time": [float(survival.quantile(0.5)), *map(float, survival.quantile_ci(0.5, method="cloglog"))],
}
print(json.dumps(golden, indent=1))
