"""Finds a `lax.cond` that traced fields decide. Under `jax.vmap` it runs both of its branches."""

from collections.abc import Sequence

from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal

OTHER = ""  # the source of states and keys
Sources = frozenset[str]  # names of the inputs that a value is computed from


def deciding_inputs(jaxpr: Jaxpr, sources: Sequence[Sources]) -> Sources:
    """The names of the inputs that decide a `lax.cond` in a jaxpr, unless OTHER takes part in it.

    sources: for each input of the jaxpr {its name}, {OTHER} for a state or a key, none for t and total.
    """
    found: set[str] = set()
    _follow(jaxpr, sources, found)
    return frozenset(found)


def _follow(jaxpr: Jaxpr, sources: Sequence[Sources], found: set[str]) -> list[Sources]:
    """The sources of a jaxpr's outputs; adds those that decide a branch to `found`."""
    known = dict(zip(jaxpr.invars, sources, strict=True))

    def of(var: object) -> Sources:
        return frozenset() if isinstance(var, Literal) else known.get(var, frozenset())  # type: ignore[call-overload]

    for eqn in jaxpr.eqns:
        inputs = [of(var) for var in eqn.invars]
        if eqn.primitive.name == "cond" and inputs[0] and OTHER not in inputs[0]:
            found |= inputs[0]
        union = frozenset[str]().union(*inputs)
        known |= dict.fromkeys(eqn.outvars, _through(eqn, inputs, union, found))
    return [of(var) for var in jaxpr.outvars]


def _through(eqn: JaxprEqn, inputs: list[Sources], union: Sources, found: set[str]) -> Sources:
    """The sources of an equation's outputs: the union of its inputs' sources. Follows its inner jaxprs."""
    for inner in eqn.params.values():
        for each in inner if isinstance(inner, tuple | list) else (inner,):
            body = each.jaxpr if isinstance(each, ClosedJaxpr) else each
            if isinstance(body, Jaxpr):
                _follow(body, _inputs_of(eqn, each, inputs, union, len(body.invars)), found)
    return union


def _inputs_of(
    eqn: JaxprEqn, body: object, inputs: list[Sources], union: Sources, count: int
) -> list[Sources]:
    """The sources of the `count` inputs of a jaxpr inside an equation.

    A loop's carry gets the union of all sources, since it may come to depend on any input.
    """
    params, name = eqn.params, eqn.primitive.name
    if name == "scan":
        if "num_consts" not in params:  # jax 0.11 does not tell constants from the carry
            return [union] * count
        consts, carry = params["num_consts"], params["num_carry"]
        return [*inputs[:consts], *[union] * carry, *inputs[consts + carry :]]
    if name == "while":
        first, consts = params["cond_nconsts"], params["body_nconsts"]
        own = inputs[:first] if body is params["cond_jaxpr"] else inputs[first : first + consts]
        return [*own, *[union] * (count - len(own))]
    if name == "cond":
        return inputs[1:]
    return inputs if len(inputs) == count else [union] * count
