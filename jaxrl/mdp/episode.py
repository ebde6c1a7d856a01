"""Episode: auto-reset, time limit, running return and the policy's memory, for all environments."""

from typing import Any, Self

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array, lax, random

from jaxrl.mdp.environment import Environment, State

Memory = Any  # a pytree of arrays that a policy carries from step to step within an episode; () for most


class Experience(struct.PyTreeNode):
    """One step, as a learner sees it.

    At most one of `terminated` and `truncated` is true. Either ends the episode.
    """

    obs: Array  # [*obs]
    action: Array  # [*action]
    reward: Array  # [] float32, [num_agents] with several agents
    next_obs: Array  # [*obs], the true successor's observation, before any reset
    terminated: Array  # [] bool, the MDP ended: nothing follows, do not bootstrap
    truncated: Array  # [] bool, the time limit cut the episode: bootstrap from next_obs

    @property
    def done(self) -> Array:
        """Whether the episode is over: [] bool."""
        return self.terminated | self.truncated


class Transition(Experience):
    """One step with the episode's totals."""

    episode_return: Array  # [] float32, undiscounted return so far, this reward included; mean over agents
    episode_length: Array  # [] int32, steps so far, this one included

    @property
    def experience(self) -> Experience:
        """The step without the totals."""
        return Experience(self.obs, self.action, self.reward, self.next_obs, self.terminated, self.truncated)


class Episode(struct.PyTreeNode):
    """An environment in the middle of an episode, and the memory of its policy."""

    state: State
    obs: Array  # [*obs]
    episode_return: Array  # [] float32, undiscounted return so far
    return_error: Array  # [] float32, what rounding has added to `episode_return`
    episode_length: Array  # [] int32, steps so far
    memory: Memory = ()  # of the policy, before it sees `obs`

    @classmethod
    def start(cls, env: Environment, key: Array, memory: Memory = ()) -> Self:
        """A fresh episode with the policy's memory at its start."""
        state = env.reset(key)
        return cls(state, env.observe(state), jnp.float32(0), jnp.float32(0), jnp.int32(0), memory)

    def step(
        self, env: Environment, key: Array, action: Array, memory: Memory = (), initial: Memory = ()
    ) -> tuple[Self, Transition]:
        """One transition, and the episode that follows: a fresh one if this one is over.

        `memory` is the policy's memory after the step, `initial` its memory at the start of an episode.
        """
        # fold_in, since XLA computes both keys of a split even if the environment uses only one of them.
        key_step, key_reset = random.fold_in(key, 0), random.fold_in(key, 1)
        state, reward, terminated = env.step(key_step, self.state, action)
        # An environment may return Python numbers.
        reward, terminated = jnp.asarray(reward, jnp.float32), jnp.asarray(terminated)
        length = self.episode_length + 1
        shared = jnp.mean(reward) if reward.ndim else reward
        total, error = compensated_sum(self.episode_return, self.return_error, shared)
        transition = Transition(
            obs=self.obs,
            action=action,
            reward=reward,
            next_obs=env.observe(state),
            terminated=terminated,
            truncated=(length >= env.max_steps) & ~terminated,
            episode_return=total,
            episode_length=length,
        )
        # The selection comes before `observe`, so that a reset which is dropped costs no observation.
        following = select(transition.done, env.reset(key_reset), state)
        going_on = self.replace(
            state=following,
            obs=env.observe(following),
            episode_return=jnp.where(transition.done, 0.0, total),
            return_error=jnp.where(transition.done, 0.0, error),
            episode_length=jnp.where(transition.done, 0, length),
            memory=select(transition.done, initial, memory),
        )
        return going_on, transition


def compensated_sum(total: Array, error: Array, number: Array) -> tuple[Array, Array]:
    """The sum `total` with a number added, and the error that rounding has added to it (Kahan 1965).

    `error` is that of `total`, 0 at the start. All have equal shapes. However many numbers are added, the
    sum's relative error stays near 1e-7 if they have one sign.
    """
    corrected = number - error
    following = total + corrected
    return following, (following - total) - corrected


def without_environments(state: Any) -> Any:
    """A learner's state without what belongs to environments: their states, and observations.

    An environment may use infinity or NaN in its own state, for instance as "not yet".
    """

    def own(node: Any) -> Any:
        if isinstance(node, Episode):
            node = node.replace(state=None, obs=None)
            return node.replace(memory=without_environments(node.memory))
        return node.replace(obs=None, next_obs=None) if isinstance(node, Experience) else node

    return jax.tree.map(own, state, is_leaf=lambda node: isinstance(node, Episode | Experience))


def select(condition: Array, on_true: Any, on_false: Any) -> Any:
    """`on_true` where the [] bool condition holds, else `on_false`: pytrees of equal structure."""
    return jax.tree.map(lambda a, b: lax.select(condition, a, b), on_true, on_false)
