"""Branches that a batch cannot take: a `lax.cond` on a traced field, of which every lane runs both sides."""

from collections.abc import Sequence

from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal

OTHER = ""  # the source of what differs from lane to lane or from step to step anyway
Sources = frozenset[str]  # names of the inputs that a value is computed from


def deciding_inputs(jaxpr: Jaxpr, sources: Sequence[Sources]) -> Sources:
    """Names of inputs that alone decide a `lax.cond` somewhere in a jaxpr.

    sources: of each input of the jaxpr, its name; OTHER for a state or a key, nothing for t.
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
    """The sources of an equation's outputs, those within its inner jaxprs followed.

    Of a loop or a branch the union of all inputs: what a carry begins with need not be what it becomes.
    """
    for inner in eqn.params.values():
        for each in inner if isinstance(inner, tuple | list) else (inner,):
            body = each.jaxpr if isinstance(each, ClosedJaxpr) else each
            if isinstance(body, Jaxpr):
                same = len(body.invars) == len(inputs) and eqn.primitive.name not in ("scan", "while")
                _follow(body, inputs if same else [union] * len(body.invars), found)
    return union
