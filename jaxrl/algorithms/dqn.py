"""Deep Q-networks (Mnih et al. 2015) and their extensions.

Double and Dueling networks, n-step returns, noisy layers, prioritised replay and the distribution of the
return are options. Rainbow (Hessel et al. 2018) is all of them.

The defaults are those of CleanRL's dqn_jax.py (Huang et al. 2022) with two differences. The 10 steps between
two updates are one step in each of 10 environments, not 10 in one. The norm of gradients is clipped.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import Array, random

from jaxrl.config import component, static, traced
from jaxrl.errors import InputError
from jaxrl.learning import replay
from jaxrl.learning.algorithm import Collector, num_actions
from jaxrl.learning.bonuses import Bonus
from jaxrl.learning.exploration import epsilon_greedy, scheduled_epsilon, slow_epsilon
from jaxrl.learning.inputs import features
from jaxrl.learning.layers import ActionValues
from jaxrl.learning.memory import apply
from jaxrl.learning.metrics import Metrics, episode_metrics, mean_metrics
from jaxrl.learning.networks import MLP, Network, require_network
from jaxrl.learning.returns import n_step_return
from jaxrl.learning.rollout import rollout, start_episodes
from jaxrl.learning.sampling import Sampling
from jaxrl.learning.updates import clipped_adam, tracked, updates_if
from jaxrl.learning.value_heads import ExpectedReturn, ValueHead, of_action
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import Episode, Experience, Memory, Transition


class State(struct.PyTreeNode):
    params: Any  # observation -> numbers of each action
    target: Any  # parameters of the target network
    optimiser: Any  # optax state over params
    replay: replay.Replay  # [capacity // num_envs, num_envs, ...]
    priorities: Any  # what the sampling keeps, () if it is uniform
    bonus: Any  # what the bonus keeps, () if there is none
    episodes: Episode  # [num_envs]
    completed: Array  # [] int32, completed episodes


class DQN(Collector):
    """An iteration is num_steps steps in each of num_envs environments and `updates` updates from replay."""

    waits = ("warmup", "target_period")
    learning_rate: float = traced(2.5e-4, "Adam's step size", low=0)
    discount: float = traced(0.99, "γ, discount of a reward one step later", low=0, high=1)
    epsilon_start: float = traced(1.0, "probability of a uniform action at the start", low=0, high=1)
    epsilon_end: float = traced(0.05, "probability of a uniform action after its schedule", low=0, high=1)
    epsilon_schedule: str = static(
        "linear", "linear in steps, or exponential in episodes", choices=("linear", "exponential")
    )
    epsilon_fraction: float = traced(0.5, "linear: share of the run until epsilon_end", low=0, high=1)
    epsilon_decay: float = traced(0.99, "exponential: factor of epsilon per completed episode", low=0, high=1)
    warmup: int = static(10_000, "environment steps before the first update", low=0)
    target_period: int = traced(500, "environment steps between copies to the target network", low=1)
    target_rate: float = traced(1.0, "step towards the network; below 1: Polyak averaging", low=0, high=1)
    max_grad_norm: float = traced(10.0, "global norm that gradients are clipped to", low=0)
    num_envs: int = static(10)
    updates: int = static(1, "updates per iteration", low=1)
    batch_size: int = static(128, "transitions of an update", low=1)
    capacity: int = static(10_000, "transitions in replay", low=1)
    n_step: int = static(1, "rewards before the bootstrapped value", low=1)
    double: bool = static(False, "whether the network selects the next action and the target evaluates it")
    dueling: bool = static(False, "whether action values are a state's value plus advantages")
    noisy: bool = static(False, "whether the last layers draw noise, which explores in place of epsilon")
    head: ValueHead = component(ExpectedReturn(), "what is learned about the return of an action")
    sampling: Sampling = component(Sampling(), "how transitions are drawn from replay")
    bonus: Bonus = component(Bonus(), "what is added to rewards for the sake of exploration")
    network: Network = component(
        MLP(hidden=(120, 84), activation="relu", initialiser="lecun_normal"), "torso of the action values"
    )

    def validate(self) -> None:
        super().validate()
        name, segments = type(self).__name__, self.n_step * self.num_envs
        least = {"batch_size": self.batch_size, "warmup": self.warmup, "n_step x num_envs": segments}
        replay.require_capacity(name, self.capacity, self.steps_per_iteration, **least)
        if self.noisy and (epsilon := max(self.epsilon_start, self.epsilon_end)):
            raise InputError(f"{name}.noisy needs 0 as epsilon_start and as epsilon_end, got {epsilon}")

    def never_reached(self, steps: int) -> tuple[str, ...]:
        return super().never_reached(steps) + slow_epsilon(self, steps)

    def validate_for(self, env: Environment) -> None:
        require_network(self, self.network, env, noise=True)
        num_actions(self, env)

    def init(self, env: Environment, key: Array) -> State:
        key_network, key_episodes, key_bonus = random.split(key, 3)
        episodes = start_episodes(env, key_episodes, self.num_envs)
        params = self.values(env).init(key_network, features(env.observation_space, episodes.obs[0]))
        rows = self.capacity // self.num_envs
        return State(
            params=params,
            # A copy, since the engine donates the state's buffers and one buffer cannot be donated twice.
            target=jax.tree.map(jnp.copy, params),
            optimiser=clipped_adam(self.learning_rate, self.max_grad_norm).init(params),
            replay=replay.create(env, rows, self.num_envs),
            priorities=self.sampling.create(rows, self.num_envs),
            bonus=self.bonus.create(env, key_bonus, self.num_envs),
            episodes=episodes,
            completed=jnp.int32(0),
        )

    def step(
        self, env: Environment, state: State, key: Array, t: Array, total: Array
    ) -> tuple[State, Metrics]:
        key_collect, key_update = random.split(key)
        epsilon = scheduled_epsilon(self, state.completed, t, total)
        episodes, transitions = self.collect(env, state, key_collect, epsilon)
        completed = state.completed + jnp.sum(transitions.done)
        bonus, _, of_bonus = self.bonus.observe(state.bonus, env, transitions, self.discount)
        ring = replay.write(state.replay, transitions.experience, t * self.num_steps)
        state = state.replace(episodes=episodes, completed=completed, bonus=bonus, replay=ring)
        priorities = self.sampling.write(state.priorities, self.num_steps, t * self.num_steps)
        rows, before = (t + 1) * self.num_steps, t * self.steps_per_iteration
        seen = before + self.steps_per_iteration
        optimiser = clipped_adam(self.learning_rate, self.max_grad_norm)

        def update(i: Array, carry: Any) -> Any:
            params, opt_state, priorities, sums = carry
            key_batch, key_noise = random.split(random.fold_in(key_update, i))
            places, weights = self.sampling.draw(
                priorities, ring, key_batch, rows, self.batch_size, self.n_step, t / total
            )
            segments = self.bonus.rewarded(bonus, env, replay.read(ring, places))
            (_, (priority, metrics)), grads = jax.value_and_grad(self.loss, has_aux=True)(
                params, state.target, env, segments, weights, key_noise
            )
            metrics |= {"grad_norm": optax.tree.norm(grads), "priority": jnp.mean(priority)}
            updates, opt_state = optimiser.update(grads, opt_state)
            priorities = self.sampling.update(priorities, places, priority)
            sums = jax.tree.map(jnp.add, sums, metrics)
            return optax.apply_updates(params, updates), opt_state, priorities, sums

        ready = (seen > self.warmup) & (rows >= self.n_step)
        sums = dict.fromkeys(("loss", "value", "grad_norm", "priority"), jnp.float32(0))
        carry = (state.params, state.optimiser, priorities, sums)
        (params, opt_state, priorities, sums), count = updates_if(ready, self.updates, update, carry)
        target = tracked(state.target, params, seen, before, self.target_period, self.target_rate)
        state = state.replace(params=params, target=target, optimiser=opt_state, priorities=priorities)
        metrics = episode_metrics(transitions) | mean_metrics(epsilon=epsilon) | of_bonus
        return state, metrics | {name: (value, count) for name, value in sums.items()}

    def act(
        self, env: Environment, state: State, memory: Memory, obs: Array, key: Array, explore: bool
    ) -> tuple[Array, Memory]:
        key_noise, key_explore = random.split(key)
        values = self.head.mean(self.apply(env, state.params, obs, key_noise if explore else None))
        return epsilon_greedy(key_explore, values, self.epsilon_end if explore else 0.0), memory

    def collect(
        self, env: Environment, state: State, key: Array, epsilon: Array
    ) -> tuple[Episode, Transition]:
        """The episodes after num_steps steps, and the transitions: [num_steps, num_envs]."""
        key_steps, key_noise = random.split(key)

        def act(memory: Memory, obs: Array, key: Array) -> tuple[Array, Memory, None]:
            # All environments and steps of the iteration share one draw of noise.
            values = self.head.mean(self.apply(env, state.params, obs, key_noise))
            return epsilon_greedy(key, values, epsilon), memory, None

        return rollout(env, state.episodes, key_steps, self.num_steps, act)[:2]

    def loss(
        self, params: Any, target: Any, env: Environment, segments: Experience, weights: Array, key: Array
    ) -> tuple[Array, Any]:
        """The weighted mean loss of a batch of segments, [batch, n_step, ...]; their priorities, and metrics.

        The bootstrapped action is the best of the target network (Mnih et al. 2015, algorithm 1), or of the
        network itself (Double DQN, van Hasselt et al. 2016, eq. 4).
        """
        keys = random.split(key, 3)
        reward, discount, next_obs = jax.vmap(n_step_return, (0, None))(segments, self.discount)
        next_outputs = self.apply(env, target, next_obs, keys[0])
        selector = self.apply(env, params, next_obs, keys[1]) if self.double else next_outputs
        bootstrap = of_action(next_outputs, jnp.argmax(self.head.mean(selector), axis=-1))
        outputs = of_action(self.apply(env, params, segments.obs[:, 0], keys[2]), segments.action[:, 0])
        losses, priority = jax.vmap(self.head.loss)(outputs, reward, discount, bootstrap)
        loss, value = jnp.mean(weights * losses), jnp.mean(self.head.mean(outputs))
        return loss, (priority, {"loss": loss, "value": value})

    def apply(self, env: Environment, params: Any, obs: Array, noise: Array | None) -> Array:
        """The head's numbers of each action for observations [..., *obs]: [..., actions, outputs]."""
        return apply(self.values(env), params, (), features(env.observation_space, obs), noise=noise)[0]

    def values(self, env: Environment) -> nn.Module:
        """The network: inputs [..., *inputs] to the head's numbers of each action."""
        torso, actions = self.network.module(env.observation_space), num_actions(self, env)
        return ActionValues(torso, actions, self.head.outputs, self.dueling, self.noisy)
