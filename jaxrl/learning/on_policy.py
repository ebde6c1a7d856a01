"""Learning from rollouts of the current policy: what PPO, A2C, TRPO and REINFORCE have in common."""

from typing import Any, NamedTuple

from flax import struct
from jax import Array, random

from jaxrl.config import Scalar
from jaxrl.learning.actor_critic import ActorCritic, Pair
from jaxrl.learning.inputs import features
from jaxrl.learning.memory import repeated, sequences
from jaxrl.learning.normalise import Scales
from jaxrl.learning.returns import generalised_advantage, td_target
from jaxrl.learning.rollout import rollout, start_episodes
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import Episode, Memory, Transition

Drawn = tuple[Array, Array]  # actions as drawn, before they are clipped to the action space, and their log π


class State(struct.PyTreeNode):
    params: Pair
    optimiser: Any  # optax state over params
    scales: Scales  # of inputs and rewards; unused unless they are normalised
    episodes: Episode  # [num_envs], with the actor's memory
    critic_memory: Memory  # [num_envs], before the critic sees the episodes' observations


class Sample(struct.PyTreeNode):
    """What an update learns from: [num_steps * num_envs], with memory [num_envs, num_steps]."""

    x: Array  # [*inputs] float32, the observation as the networks' input
    action: Array  # [] or [d], as drawn
    log_prob: Array  # [] float32, of the action when it was drawn
    value: Array  # [] float32, of the observation when it was seen
    advantage: Array  # [] float32
    done: Array  # [] bool, whether the episode ended

    @property
    def target(self) -> Array:
        """What the value should have been: the λ-return, [] float32."""
        return self.value + self.advantage


class Agent(NamedTuple):
    """Actor and critic in an environment, with normalisation: how they act, and what a rollout shows them."""

    env: Environment
    networks: ActorCritic
    discount: Scalar  # γ
    normalise_observations: bool = False
    normalise_rewards: bool = False

    def start(self, key: Array, num_envs: int) -> tuple[Pair, Scales, Episode, Memory]:
        """Initial parameters, scales, episodes and the critic's memory."""
        key_network, key_episodes = random.split(key)
        actor_memory, critic_memory = self.networks.memory()
        episodes = start_episodes(self.env, key_episodes, num_envs, actor_memory)
        x = features(self.env.observation_space, episodes.obs[0])
        params = self.networks.init(key_network, x)
        return params, Scales.create(x.shape, num_envs), episodes, repeated(critic_memory, num_envs)

    def act(
        self, state: State, memory: Memory, obs: Array, key: Array, explore: bool
    ) -> tuple[Array, Memory]:
        """The action for one observation, and the actor's memory afterwards."""
        policy, memory = self.networks.policy(state.params, memory, self.input(state.scales, obs))
        return self.networks.executed(policy.sample(key) if explore else policy.mode()), memory

    def collect(self, state: State, key: Array, num_steps: int) -> tuple[Episode, Transition, Drawn]:
        """The episodes after num_steps steps, the transitions, and the drawn actions with their log π."""

        def act(memory: Memory, obs: Array, key: Array) -> tuple[Array, Memory, Drawn]:
            policy, memory = self.networks.policy(state.params, memory, self.input(state.scales, obs))
            action = policy.sample(key)
            return self.networks.executed(action), memory, (action, policy.log_prob(action))

        return rollout(self.env, state.episodes, key, num_steps, act, memory=self.networks.memory()[0])

    def seen(self, scales: Scales, transitions: Transition) -> tuple[Scales, Array, Array, Array]:
        """The scales with a rollout added, its rewards, its inputs and those of the true successors.

        Inputs are normalised as the actor saw them, rewards with the rollout's own returns added.
        """
        x, next_x = (self.input(scales, obs) for obs in (transitions.obs, transitions.next_obs))
        reward = transitions.reward
        if self.normalise_rewards:
            scales = scales.with_rewards(reward, transitions.done, self.discount)
            reward = scales.returns.scaled(reward)
        if self.normalise_observations:
            scales = scales.with_inputs(features(self.env.observation_space, transitions.obs))
        return scales, reward, x, next_x

    def samples(
        self, state: State, transitions: Transition, drawn: Drawn, gae_lambda: Scalar
    ) -> tuple[Scales, Memory, Sample]:
        """The scales with the transitions added, the critic's memory after them, and the samples."""
        scales, reward, x, next_x = self.seen(state.scales, transitions)
        done, memory = transitions.done, state.critic_memory
        value, next_value, memory = self.networks.values_of_rollout(state.params, memory, done, x, next_x)
        delta = td_target(reward, self.discount, transitions.terminated, next_value) - value
        advantage = generalised_advantage(delta, done, self.discount, gae_lambda)
        return scales, memory, sequences(memory, Sample(x, *drawn, value, advantage, done))

    def input(self, scales: Scales, obs: Array) -> Array:
        """Observations [..., *obs] as the networks' input: [..., *inputs] float32."""
        x = features(self.env.observation_space, obs)
        return scales.inputs.standardised(x) if self.normalise_observations else x
