"""Wrappers: environments that hold another one and change it in part."""

from envs.control.cartpole import CartPole
from envs.control.pendulum import Pendulum
from envs.grids.grid_world import GridWorld
from envs.wrappers.delayed_rewards import DelayedRewards
from envs.wrappers.discretised import Discretised, DiscretisedActions
from envs.wrappers.frame_stack import FrameStack
from envs.wrappers.masked import Masked
from envs.wrappers.noisy_observations import NoisyObservations
from envs.wrappers.randomised import Randomised
from envs.wrappers.scaled_rewards import ScaledRewards
from envs.wrappers.scheduled import Scheduled
from envs.wrappers.shaped import Shaped
from envs.wrappers.sticky_actions import StickyActions
from envs.wrappers.terminal_limit import TerminalLimit
from envs.wrappers.time_aware import TimeAware
from jaxrl.environment import Environment

__all__ = [
    "WRAPPERS",
    "DelayedRewards",
    "Discretised",
    "DiscretisedActions",
    "FrameStack",
    "Masked",
    "NoisyObservations",
    "Randomised",
    "ScaledRewards",
    "Scheduled",
    "Shaped",
    "StickyActions",
    "TerminalLimit",
    "TimeAware",
]

WRAPPERS: dict[str, Environment] = {
    "delayed_rewards": DelayedRewards(env=CartPole()),
    "discretised": Discretised(
        env=CartPole(), bins=(1, 3, 8, 8), low=(-2.4, -2.0, -0.21, -2.5), high=(2.4, 2.0, 0.21, 2.5)
    ),
    "discretised_actions": DiscretisedActions(env=Pendulum()),
    "frame_stack": FrameStack(env=CartPole()),
    "masked": Masked(env=CartPole()),
    "noisy_observations": NoisyObservations(env=CartPole()),
    "randomised": Randomised(env=CartPole(), high=CartPole()),
    "scaled_rewards": ScaledRewards(env=CartPole()),
    "scheduled": Scheduled(env=CartPole(), end=CartPole()),
    "shaped": Shaped(env=GridWorld()),
    "sticky_actions": StickyActions(env=CartPole()),
    "terminal_limit": TerminalLimit(env=CartPole()),
    "time_aware": TimeAware(env=CartPole()),
}
