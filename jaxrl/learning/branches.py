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
    """The sources of an equation's outputs: the union of all inputs' sources. Follows its inner jaxprs.

    In a loop every input gets the union, since a carry may come to depend on any of them.
    """
    for inner in eqn.params.values():
        for each in inner if isinstance(inner, tuple | list) else (inner,):
            body = each.jaxpr if isinstance(each, ClosedJaxpr) else each
            if isinstance(body, Jaxpr):
                same = len(body.invars) == len(inputs) and eqn.primitive.name not in ("scan", "while")
                _follow(body, inputs if same else [union] * len(body.invars), found)
    return union
