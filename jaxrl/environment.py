"""What the author of an environment imports."""

from jaxrl.config import static, traced
from jaxrl.mdp.environment import Environment, State, check_contract
from jaxrl.mdp.episode import Episode, Experience, Transition
from jaxrl.mdp.finite import FiniteEnvironment, draw
from jaxrl.mdp.spaces import Box, Discrete, Space, draw_below

__all__ = [
    "Box",
    "Discrete",
    "Environment",
    "Episode",
    "Experience",
    "FiniteEnvironment",
    "Space",
    "State",
    "Transition",
    "check_contract",
    "draw",
    "draw_below",
    "static",
    "traced",
]
