"""Trust region policy optimisation (Schulman et al. 2015), for discrete and for continuous actions.

The defaults are those of Stable-Baselines3 Contrib's TRPO with the rollouts of rl-zoo3's CartPole (Raffin et
al. 2021), with two differences. Conjugate gradient starts at 0 and takes all its iterations. The deviation of
advantages divides by n, PyTorch's by n - 1.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax, random

from jaxrl.config import Scalar, component, static, traced
from jaxrl.learning.actor_critic import actor_critic
from jaxrl.learning.algorithm import Collector
from jaxrl.learning.metrics import Metrics, episode_metrics, explained_variance, mean_metrics
from jaxrl.learning.networks import MLP, Network, require_network
from jaxrl.learning.normalise import standardised
from jaxrl.learning.on_policy import Agent, Sample, State
from jaxrl.learning.updates import require_minibatches, require_several, shuffled_minibatches
from jaxrl.mdp.environment import Environment
from jaxrl.mdp.episode import Memory, select

TINY = 1e-30  # instead of a divisor of 0


class TRPO(Collector):
    """An iteration is num_steps steps in each of num_envs environments and one step of the policy.

    The critic takes epochs x minibatches updates.
    """

    learning_rate: float = traced(1e-3, "step size of the critic's Adam", low=0)
    discount: float = traced(0.99, "γ, discount of a reward one step later", low=0, high=1)
    gae_lambda: float = traced(0.95, "λ of generalised advantage estimation", low=0, high=1)
    max_kl: float = traced(0.01, "δ, bound on the mean KL divergence of a step, nats", low=1e-8)
    cg_iterations: int = static(15, "of conjugate gradient", low=1)
    cg_damping: float = traced(0.1, "what is added to the diagonal of the Fisher matrix", low=0)
    line_search_steps: int = static(10, "lengths of a step that are tried at most", low=1)
    line_search_decay: float = traced(0.8, "factor from one length to the next", low=0, high=1)
    normalise_advantage: bool = static(True, "whether advantages are normalised")
    normalise_observations: bool = static(False, "whether by running mean and standard deviation")
    normalise_rewards: bool = static(False, "whether by the deviation of running returns")
    num_envs: int = static(2)
    num_steps: int = static(512)
    epochs: int = static(10, "passes of the critic over an iteration's transitions", low=1)
    minibatches: int = static(8, "the critic's updates of each pass", low=1)
    network: Network = component(MLP(hidden=(64, 64)), "torso of the actor and of the critic")

    def validate(self) -> None:
        super().validate()
        require_minibatches(self, self.minibatches, "num_envs x num_steps", self.steps_per_iteration)
        if self.normalise_advantage:
            require_several(self, self.steps_per_iteration)

    def validate_for(self, env: Environment) -> None:
        require_network(self, self.network, env)

    def init(self, env: Environment, key: Array) -> State:
        params, *started = self.agent(env).start(key, self.num_envs)
        return State(params, self.optimiser().init(params[1]), *started)

    def step(
        self, env: Environment, state: State, key: Array, t: Array, total: Array
    ) -> tuple[State, Metrics]:
        key_rollout, key_update = random.split(key)
        agent = self.agent(env)
        episodes, transitions, drawn = agent.collect(state, key_rollout, self.num_steps)
        scales, _, samples = agent.samples(state, transitions, drawn, self.gae_lambda)
        actor, of_actor = self.improved(env, state.params[0], samples)
        critic, opt_state, value_loss = self.fitted(env, state, samples, key_update)
        state = state.replace(params=(actor, critic), optimiser=opt_state, scales=scales, episodes=episodes)
        explained = explained_variance(samples.value, samples.target)
        metrics = mean_metrics(**of_actor, value_loss=value_loss, explained_variance=explained)
        return state, episode_metrics(transitions) | metrics

    def act(
        self, env: Environment, state: State, memory: Memory, obs: Array, key: Array, explore: bool
    ) -> tuple[Array, Memory]:
        return self.agent(env).act(state, memory, obs, key, explore)

    def improved(self, env: Environment, actor: Any, samples: Sample) -> tuple[Any, dict[str, Array]]:
        """The actor's parameters after one step within the trust region, and metrics."""
        networks = self.agent(env).networks
        advantage = standardised(samples.advantage) if self.normalise_advantage else samples.advantage
        old: Any = networks.policy((actor, ()), (), samples.x)[0]

        def measured(actor: Any) -> tuple[Array, Array]:
            """The objective and the mean KL divergence from the old policy (eq. 14 of the paper)."""
            policy, _ = networks.policy((actor, ()), (), samples.x)
            log_ratio = policy.log_prob(samples.action) - samples.log_prob
            return jnp.mean(jnp.exp(log_ratio) * advantage), jnp.mean(old.kl(policy))

        before, gradient = jax.value_and_grad(lambda actor: measured(actor)[0])(actor)
        product = fisher_product(lambda actor: measured(actor)[1], actor, self.cg_damping)
        direction = conjugate_gradient(product, gradient, self.cg_iterations)
        step = largest_step(direction, product(direction), self.max_kl)

        def accepted(actor: Any) -> Array:
            after, kl = measured(actor)
            return (after > before) & (kl <= self.max_kl)

        actor, found = line_search(accepted, actor, step, self.line_search_decay, self.line_search_steps)
        after, kl = measured(actor)
        return actor, {
            "improvement": after - before,
            "kl": kl,
            "accepted": found.astype(jnp.float32),
            "entropy": jnp.mean(old.entropy()),
            "grad_norm": optax.tree.norm(gradient),
        }

    def fitted(self, env: Environment, state: State, samples: Sample, key: Array) -> tuple[Any, Any, Array]:
        """The critic's parameters after its updates, its optimiser's state, and its mean loss."""
        networks, optimiser = self.agent(env).networks, self.optimiser()

        def loss(critic: Any, minibatch: Sample) -> Array:
            value, _ = networks.value(((), critic), (), minibatch.x)
            return jnp.mean(jnp.square(value - minibatch.target))

        def update(carry: tuple[Any, Any], indices: Array) -> tuple[tuple[Any, Any], Array]:
            critic, opt_state = carry
            minibatch = jax.tree.map(lambda leaf: leaf[indices], samples)
            value_loss, grads = jax.value_and_grad(loss)(critic, minibatch)
            updates, opt_state = optimiser.update(grads, opt_state)
            return (optax.apply_updates(critic, updates), opt_state), value_loss

        minibatches = shuffled_minibatches(key, self.steps_per_iteration, self.epochs, self.minibatches)
        carry = (state.params[1], state.optimiser)
        (critic, opt_state), losses = lax.scan(update, carry, minibatches)
        return critic, opt_state, jnp.mean(losses)

    def optimiser(self) -> optax.GradientTransformation:
        return optax.adam(self.learning_rate, eps=1e-5)

    def agent(self, env: Environment) -> Agent:
        networks = actor_critic(self.network, env)
        return Agent(env, networks, self.discount, self.normalise_observations, self.normalise_rewards)


def fisher_product(divergence: Callable[[Any], Array], params: Any, damping: Scalar) -> Callable[[Any], Any]:
    """The map v -> (F + damping) v (Schulman et al. 2015, appendix C.1), for v like params.

    The Fisher matrix F is the Hessian of the mean KL divergence at the old policy's params.
    """
    _, hessian_product = jax.linearize(jax.grad(divergence), params)
    return lambda v: jax.tree.map(lambda product, each: product + damping * each, hessian_product(v), v)


def conjugate_gradient(product: Callable[[Any], Any], target: Any, iterations: int) -> Any:
    """x with A x = target, for the map v -> A v of a positive definite A (Nocedal & Wright, algorithm 5.2).

    jax's own solver diverges in programs for two processors that are compiled without the elimination of
    common subexpressions (jax 0.10.2). The bounds keep a residual of 0 from becoming NaN.
    """

    def iterate(_: int, carry: tuple[Any, Any, Any, Array]) -> tuple[Any, Any, Any, Array]:
        x, residual, direction, squared = carry
        image = product(direction)
        length = squared / jnp.maximum(optax.tree.vdot(direction, image), TINY)
        x = optax.tree.add_scale(x, length, direction)
        residual = optax.tree.add_scale(residual, -length, image)
        following = optax.tree.vdot(residual, residual)
        direction = optax.tree.add_scale(residual, following / jnp.maximum(squared, TINY), direction)
        return x, residual, direction, following

    start = (optax.tree.zeros_like(target), target, target, optax.tree.vdot(target, target))
    return lax.fori_loop(0, iterations, iterate, start)[0]


def largest_step(direction: Any, product: Any, max_kl: Scalar) -> Any:
    """β v with β = √(2 δ / vᵀ H v), for a direction v and its product H v with H = F + damping.

    The KL divergence of this step is at most δ to second order (Schulman et al. 2015, appendix C).
    """
    curvature = optax.tree.vdot(direction, product)
    return optax.tree.scale(jnp.sqrt(2 * max_kl / jnp.maximum(curvature, TINY)), direction)


def line_search(
    accepted: Callable[[Any], Array], params: Any, step: Any, decay: Scalar, attempts: int
) -> tuple[Any, Array]:
    """The first of params + decayⁱ step, i < attempts, that is accepted, and whether one is: [] bool.

    Without one the params stay as they are (Schulman et al. 2015, appendix C).
    """

    def attempt(i: Array, carry: tuple[Any, Array]) -> tuple[Any, Array]:
        chosen, found = carry
        candidate = optax.tree.add_scale(params, decay**i, step)
        taken = ~found & accepted(candidate)
        return select(taken, candidate, chosen), found | taken

    return lax.fori_loop(0, attempts, attempt, (params, jnp.bool_(False)))
