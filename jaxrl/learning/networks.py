"""Networks: torsos, which are components that a user can exchange. An algorithm adds its own heads."""

import re

import flax.linen as nn
import jax
from jax import Array, random

from jaxrl.config import Config, component, static
from jaxrl.errors import InputError
from jaxrl.learning.algorithm import Algorithm, require_one_agent
from jaxrl.learning.attention import AttentionBlocks
from jaxrl.learning.inputs import input_shape, is_image
from jaxrl.learning.layers import ACTIVATIONS, DenseLayers, Orthogonal
from jaxrl.learning.memory import needs
from jaxrl.mdp.environment import Environment, described
from jaxrl.mdp.spaces import Space


class Network(Config):
    """A torso, which maps a network's input to features. An algorithm adds its own heads."""

    def module(self, space: Space) -> nn.Module:
        """A flax module (x, action=None) -> features [..., m] float32, for observations of a space.

        x is [..., *inputs] float32 as `features` makes it. A critic's action is a further input, [..., n].
        A module that remembers, in variables of the collection "memory", gets one step: x [*inputs].
        """
        raise InputError(f"{type(self).__name__} must define module")


class MLP(Network):
    """Dense layers. An image passes through a small convolution first."""

    hidden: tuple[int, ...] = static((64, 64), "units of each hidden layer", low=1)
    activation: str = static("tanh", "activation after each layer", choices=tuple(ACTIVATIONS))
    initialiser: str = static("orthogonal", "initial weights", choices=("orthogonal", "lecun_normal"))
    layer_norm: bool = static(False, "whether each layer is normalised before its activation")

    def module(self, space: Space) -> nn.Module:
        return DenseLayers(self.hidden, self.activation, self.initialiser, is_image(space), self.layer_norm)


class GRU(Network):
    """A gated recurrent unit (Cho et al. 2014) over the features of another network."""

    units: int = static(64, "size of the hidden state", low=1)
    torso: Network = component(MLP(hidden=(64,)), "network before the unit")

    def module(self, space: Space) -> nn.Module:
        return RecurrentLayer(self.torso.module(space), self.units, nn.GRUCell)


class LSTM(Network):
    """Long short-term memory (Hochreiter & Schmidhuber 1997; Gers et al. 2000) over another network."""

    units: int = static(64, "size of the hidden state and of the cell", low=1)
    torso: Network = component(MLP(hidden=(64,)), "network before the unit")

    def module(self, space: Space) -> nn.Module:
        return RecurrentLayer(self.torso.module(space), self.units, nn.OptimizedLSTMCell)


class Attention(Network):
    """Causal self-attention to a window of past steps (Vaswani et al. 2017) over another network.

    Each layer attends to the outputs of the layer before it, so `layers` of them reach
    layers x (window - 1) steps back.
    """

    units: int = static(64, "size of the features", low=1)
    heads: int = static(4, "parts of the features, each with an attention of its own", low=1)
    window: int = static(16, "steps that a step attends to, the last of which is itself", low=1)
    layers: int = static(1, "blocks of attention and two dense layers", low=1)
    torso: Network = component(MLP(hidden=(64,)), "network before the attention")

    def validate(self) -> None:
        super().validate()
        if self.units % self.heads:
            raise InputError(f"Attention.heads must divide units = {self.units}, got {self.heads}")

    def module(self, space: Space) -> nn.Module:
        return AttentionBlocks(self.torso.module(space), self.units, self.heads, self.window, self.layers)


class RecurrentLayer(nn.Module):
    """A torso and a recurrent cell."""

    torso: nn.Module
    units: int
    cell: type[nn.GRUCell | nn.OptimizedLSTMCell]

    @nn.compact
    def __call__(self, x: Array, *action: Array) -> Array:
        """x [*inputs] float32, a critic's action [n]; returns [units] float32."""
        cell = self.cell(self.units, recurrent_kernel_init=Orthogonal(1.0))
        x = self.torso(x, *action)
        memory = self.variable("memory", "hidden", cell.initialize_carry, random.key(0), x.shape)  # zeros
        memory.value, features = cell(memory.value, x)
        return features


def require_network(
    algorithm: Algorithm, network: Network, env: Environment, memory: bool = False, noise: bool = False
) -> None:
    """Raises InputError unless an algorithm for one agent can use a network in an environment.

    `memory` and `noise` say whether the algorithm carries the network's memory and gives it keys for noise.
    """
    require_one_agent(algorithm, env)
    space, learner, name = env.observation_space, type(algorithm).__name__, type(network).__name__
    module = network.module(space)
    if not isinstance(module, nn.Module):
        raise InputError(f"{name}.module must return a flax module, got {module!r}")
    needed = needs(module, input_shape(space))
    if not re.fullmatch(r"float32\[\d+\]", got := described(needed.outputs)):
        raise InputError(f"{name}.module must map an input to float32[m], got {got}")
    if jax.tree.leaves(needed.memory) and not memory:
        raise InputError(f"{learner} cannot use a network with memory such as {name}; a2c, ppo and pqn can")
    if needed.noise and not noise:
        raise InputError(f"{learner} cannot use a network that draws noise such as {name}")


NETWORKS: dict[str, Network] = {"attention": Attention(), "gru": GRU(), "lstm": LSTM(), "mlp": MLP()}
