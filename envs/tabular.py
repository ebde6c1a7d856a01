"""Exact solutions of finite environments, which `jaxrl solve` finds too."""

from jaxrl.mdp.tabular import (
    MDP,
    Solution,
    discounted,
    enumerate_mdp,
    expected_return,
    finite_horizon,
    policy_iteration,
)

__all__ = [
    "MDP",
    "Solution",
    "discounted",
    "enumerate_mdp",
    "expected_return",
    "finite_horizon",
    "policy_iteration",
]
