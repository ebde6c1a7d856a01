"""The memory that a lane needs, estimated before anything is compiled, and the memory that a device has."""

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import psutil
from jax import random
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Var

from jaxrl.compiled.evaluate import evaluate_run
from jaxrl.errors import InputError
from jaxrl.learning.algorithm import Algorithm, State
from jaxrl.learning.check import trace_algorithm, without_arrays
from jaxrl.mdp.environment import Environment

# Lanes of a batch on a processor. Q-learning in a GridWorld took 0.76 to 0.8 times as long with 1,024 lanes
# as with 256, and a study of 2,000 steps 0.67 times as long, since each batch costs the host some time.
MAX_WIDTH = 1024
# Lanes that a batch may have on a processor even if they need more than NEAR bytes in all. In Taxi, where a
# lane needs 13 KB, Q-learning took 1.2 to 1.3 times as long with 1,024 lanes as with 256.
USUAL_WIDTH = 256
NEAR = 10**6
# Bytes that a batch on a processor may use beside its state; with more, a core waits for memory. A step of
# one seed of PPO, DQN and SAC took 1.4, 1.5 and 2.3 times as long with 128 lanes as with 16, 16 and 7.
CACHE = 5 * 10**6
# Lanes that a batch on a processor may have even if they exceed CACHE. A step of PPO with 32 environments and
# layers of 256 units took 0.83 to 0.97 times as long with 2 to 8 lanes as with one.
FEW = 4
UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
BINARY_UNITS = {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
# Operations for which the compiler allocates no array: they write into a given buffer or are fused into the
# operations that use them.
WITHOUT_MEMORY = {
    "broadcast_in_dim",
    "convert_element_type",
    "dynamic_update_slice",
    "iota",
    "scatter",
    "scatter-add",
}
LOOPS = {"scan", "while"}
CALLBACKS = {"buffer_callback", "debug_callback", "debug_print", "io_callback", "pure_callback"}


class LaneNeeds(NamedTuple):
    state: int  # bytes of parameters, optimiser, replay and episodes
    total: int  # bytes of the state and the most that an iteration or an evaluation needs beside it
    host: bool  # whether it calls back into Python


def lane_needs(
    algorithm: Algorithm, environment: Environment, episodes: int, evaluate_in: Sequence[Environment] = ()
) -> LaneNeeds:
    """The needs of a lane whose evaluations, in its environment and in others, have this many episodes.

    The total is an estimate, since the compiler fuses operations and adds copies. Raises InputError if the
    algorithm breaks its contract, as `trace_algorithm` does.
    """
    state, iteration = trace_algorithm(algorithm, environment)
    evaluations = [evaluation_jaxpr(algorithm, env, state, episodes) for env in (environment, *evaluate_in)]
    jaxprs = [iteration.jaxpr, *evaluations]
    resident = sum(map(_size, jax.tree.leaves(state)))
    return LaneNeeds(resident, resident + max(map(peak_bytes, jaxprs)), any(map(calls_host, jaxprs)))


def evaluation_jaxpr(algorithm: Algorithm, env: Environment, state: State, episodes: int) -> Jaxpr:
    """One run's evaluation, traced for a state of these shapes."""
    attached, shared = without_arrays(algorithm, env)

    def play(state: State, shared: Any) -> Any:
        return evaluate_run(*attached(shared), state, random.key(0), episodes)

    return jax.make_jaxpr(play)(state, shared).jaxpr


def peak_bytes(jaxpr: Jaxpr) -> int:
    """The most bytes that are live at once while a jaxpr runs, apart from its inputs.

    Results that nothing reads count as nothing. A matrix product counts copies of both of its matrices.
    """
    last_use = {var: i for i, eqn in enumerate(jaxpr.eqns) for var in eqn.invars if isinstance(var, Var)}
    last_use |= {var: len(jaxpr.eqns) for var in jaxpr.outvars if isinstance(var, Var)}
    live: dict[Var, int] = {}
    peak = 0
    for i, eqn in enumerate(jaxpr.eqns):
        after = {var: size for var, size in live.items() if last_use[var] > i}
        made = {var: _size(var.aval) for var in eqn.outvars if var in last_use}
        if eqn.primitive.name in LOOPS:  # the carry reuses the buffers of its initial value
            live = after
        if eqn.primitive.name not in WITHOUT_MEMORY:
            live, after = live | made, after | made
        copies = sum(_size(var.aval) for var in eqn.invars) if eqn.primitive.name == "dot_general" else 0
        peak = max(peak, sum(live.values()) + max(map(peak_bytes, inner_jaxprs(eqn)), default=copies))
        live = after
    return peak


def calls_host(jaxpr: Jaxpr) -> bool:
    """Whether a jaxpr calls back into Python."""
    names = {eqn.primitive.name for eqn in jaxpr.eqns}
    return bool(names & CALLBACKS) or any(calls_host(j) for eqn in jaxpr.eqns for j in inner_jaxprs(eqn))


def device_budget() -> int:
    """Bytes that the lanes of one device may take: nine tenths of a GPU's memory.

    On a processor, half of its memory is divided among its devices. What is free at the moment does not
    count, since the width of batches, and with it the bits, must not depend on that.
    """
    stats = jax.local_devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] * 9 // 10
    return psutil.virtual_memory().total // 2 // jax.local_device_count()


def most_lanes(lane: LaneNeeds, limit: int) -> int:
    """The most lanes that a batch may have within `limit` bytes, at least 1.

    On a processor MAX_WIDTH bounds it too, CACHE above FEW lanes, and NEAR above USUAL_WIDTH lanes.
    """
    widest = limit // lane.total
    if jax.local_devices()[0].platform == "cpu":
        near = max(NEAR // lane.total, USUAL_WIDTH)
        widest = min(widest, MAX_WIDTH, near, max(CACHE // (lane.total - lane.state), FEW))
    return max(widest, 1)


def parse_bytes(text: str | float) -> int:
    """Bytes from a number of them, or from a text such as "4GB", "4G", "500 MB" or "4GiB".

    Raises InputError for anything else.
    """
    given = text if isinstance(text, str) else f"{text}B"
    matched = re.fullmatch(r"([\d._]+(?:E\+?\d+)?)\s*([KMGT]?B|[KMGT]|[KMGT]IB)", given.strip().upper())
    try:
        if matched:
            unit = matched[2] if matched[2].endswith("B") else f"{matched[2]}B"
            size = float(matched[1]) * (UNITS | BINARY_UNITS)[unit]
            if 1 <= size < math.inf:
                return int(size)
    except ValueError:
        pass
    raise InputError(f"memory must be a size such as 4GB or 500MB, got {text!r}")


def shown_bytes(size: float) -> str:
    """A number of bytes as text: "38.1 MB"."""
    power = min(max(math.floor(math.log10(max(size, 1)) / 3), 0), len(UNITS) - 1)
    return f"{size / 10 ** (3 * power):.3g} {[*UNITS][power]}"


def _size(leaf: Any) -> int:
    return leaf.size * leaf.dtype.itemsize


def inner_jaxprs(eqn: JaxprEqn) -> Iterator[Jaxpr]:
    """The jaxprs inside an equation: the bodies of loops, branches and functions."""
    for leaf in jax.tree.leaves(eqn.params, is_leaf=lambda leaf: isinstance(leaf, Jaxpr | ClosedJaxpr)):
        if isinstance(leaf, ClosedJaxpr):
            yield leaf.jaxpr
        elif isinstance(leaf, Jaxpr):
            yield leaf
