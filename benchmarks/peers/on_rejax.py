"""rejax's side: its own `train_iteration` of all seeds in one vmap, as in its `vmap(train)`."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from rejax import get_algo  # type: ignore[import-not-found]
from rejax.networks import DiscreteQNetwork, EpsilonGreedyPolicy  # type: ignore[import-not-found]

from benchmarks.peers.work import Settings, Trainer, run_worker

# Equal in all seeds. `vmap(train)` keeps them without a seed axis, so that a branch on the step stays a
# branch and a write to replay is one slice. This worker does the same.
SHARED = ("global_step", "index", "full")
NAMES = {
    "discount": "gamma",
    "clip": "clip_eps",
    "value_coefficient": "vf_coef",
    "entropy_coefficient": "ent_coef",
    "epochs": "num_epochs",
    "minibatches": "num_minibatches",
    "updates": "num_epochs",
    "capacity": "buffer_size",
    "target_period": "target_update_freq",
}


class Seeds(Trainer):
    def __init__(self, work: str, settings: Settings, seeds: int) -> None:
        name, environment = work.split()
        algo = algorithm(name, environment, settings)
        keys = jax.random.split(jax.random.PRNGKey(0), seeds)
        state = jax.jit(jax.vmap(algo.init_state))(keys)
        axes = jax.tree_util.tree_map_with_path(lambda path, _: None if shared(path) else 0, state)
        self.state = jax.tree_util.tree_map_with_path(
            lambda path, leaf: leaf[0] if shared(path) else jnp.copy(leaf), state
        )
        iterate = jax.vmap(algo.train_iteration, in_axes=(axes,), out_axes=axes)

        def advance(state: Any, iterations: Array) -> Any:
            return lax.fori_loop(0, iterations, lambda _, state: iterate(state), state)

        self.compiled = jax.jit(advance, donate_argnums=0)

    def advance(self, iterations: int) -> None:
        self.state = jax.block_until_ready(self.compiled(self.state, iterations))

    def updates(self) -> int:
        names = ("q_ts", "critic_ts")
        return int(next(getattr(self.state, name).step[0] for name in names if hasattr(self.state, name)))


def shared(path: Any) -> bool:
    return getattr(path[-1], "name", None) in SHARED


def algorithm(name: str, environment: str, settings: Settings) -> Any:
    """rejax's algorithm with these settings."""
    own = {NAMES.get(key, key): value for key, value in settings.items()}
    hidden = own.pop("hidden")
    if name == "ppo":
        agent = {"activation": "tanh", "hidden_layer_sizes": hidden}
        return get_algo(name).create(env=environment, agent_kwargs=agent, **own)
    own |= {"fill_buffer": settings["capacity"], "agent_kwargs": {"activation": "relu"}}
    del own["num_steps"]  # always one
    if name == "sac":
        own["polyak"] = 1 - own.pop("target_rate")
        return get_algo(name).create(env=environment, hidden_layer_sizes=hidden, **own)
    epsilon = own.pop("epsilon")
    own |= {"eps_start": epsilon, "eps_end": epsilon, "polyak": 0.0, "ddqn": False}
    algo = get_algo(name).create(env=environment, **own)
    actions = algo.action_space.n  # its own layers are always 64-64
    return algo.replace(agent=EpsilonGreedyPolicy(DiscreteQNetwork)(hidden, jax.nn.relu, actions))


if __name__ == "__main__":
    run_worker(Seeds, ("rejax", "jax", "jaxlib", "flax", "optax", "gymnax", "distrax"))
