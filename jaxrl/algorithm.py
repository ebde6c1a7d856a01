"""What the author of an algorithm imports."""

from jaxrl.config import static, traced
from jaxrl.learning.algorithm import Algorithm, Collector, State, num_actions, num_observations
from jaxrl.learning.metrics import Metrics, episode_metrics, mean_metrics
from jaxrl.learning.rollout import rollout, start_episodes

__all__ = [
    "Algorithm",
    "Collector",
    "Metrics",
    "State",
    "episode_metrics",
    "mean_metrics",
    "num_actions",
    "num_observations",
    "rollout",
    "start_episodes",
    "static",
    "traced",
]
