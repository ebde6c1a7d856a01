"""Scaled rewards."""

from jax import Array

from jaxrl.environment import State, Wrapper, traced


class ScaledRewards(Wrapper):
    """Every reward is multiplied by one factor."""

    factor: float = traced(0.1, "factor of each reward")

    @property
    def solved_return(self) -> float | None:
        """That of the inner environment, scaled. A factor of 0 or less changes which return is better."""
        solved = self.env.solved_return
        return None if solved is None or self.factor <= 0 else float(self.factor * solved)

    def step(self, key: Array, state: State, action: Array) -> tuple[State, Array, Array]:
        state, reward, terminated = self.env.step(key, state, action)
        return state, self.factor * reward, terminated
