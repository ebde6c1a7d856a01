"""What the author of an environment imports."""

from jaxrl.config import attach, detach
from jaxrl.fields import component, shared, static, traced
from jaxrl.mdp.bandit import Arms, Bandit
from jaxrl.mdp.environment import Environment, State, check_contract
from jaxrl.mdp.episode import Episode, Experience, Transition, compensated_sum, select
from jaxrl.mdp.finite import FiniteEnvironment, draw
from jaxrl.mdp.spaces import Box, Composite, Discrete, Space, bounds, draw_below, is_channel_first, zeros
from jaxrl.mdp.wrapper import Wrapper

__all__ = [
    "Arms",
    "Bandit",
    "Box",
    "Composite",
    "Discrete",
    "Environment",
    "Episode",
    "Experience",
    "FiniteEnvironment",
    "Space",
    "State",
    "Transition",
    "Wrapper",
    "attach",
    "bounds",
    "check_contract",
    "compensated_sum",
    "component",
    "detach",
    "draw",
    "draw_below",
    "is_channel_first",
    "select",
    "shared",
    "static",
    "traced",
    "zeros",
]
