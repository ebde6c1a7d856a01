"""The command that solves a finite environment: solve.

Everything heavy is imported by the command that needs it, so that `--help` answers at once.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jaxrl.cli import arguments as arg
from jaxrl.cli.starting import prepare
from jaxrl.errors import InputError, unknown
from jaxrl.text import counted, print_table

if TYPE_CHECKING:
    import numpy as np

    from jaxrl.mdp.environment import Environment
    from jaxrl.mdp.tabular import MDP, Solution

LARGEST = 2e9  # bytes of a table of transitions


def solve(
    environment: str,
    /,
    env: Sequence[str] = (),
    discount: float = 0.99,
    method: str = "value",
    out: str | None = None,
) -> None:
    """Finds the optimal values and policy of a finite environment exactly.

    Args:
        environment: a name from `jaxrl list`.
        env (FIELD=VALUE): a field of the environment.
        discount (FLOAT): γ, below 1.
        method (value|policy): value iteration or policy iteration.
        out (FILE): a picture of values and policy, such as policy.png.
    """
    import numpy as np

    from jaxrl import registry
    from jaxrl.mdp.tabular import (
        discounted,
        enumerate_mdp,
        expected_return,
        finite_horizon,
        policy_iteration,
    )

    prepare()
    methods = {"value": discounted, "policy": policy_iteration}
    if method not in methods:
        raise unknown("method", method, methods)
    chosen = arg.grids(arg.named(environment, registry.environment), "--env", env)
    if len(chosen) != 1:
        raise InputError(f"solve takes one environment with one value of each field, got {len(chosen)}")
    _require_table(chosen[0])
    mdp = enumerate_mdp(chosen[0])
    solution, steps = methods[method](mdp, discount), int(chosen[0].max_steps)
    symbols = _symbols(chosen[0], mdp, solution)
    layout = getattr(chosen[0], "layout", None)

    states, actions = mdp.reward.shape
    start = float(mdp.initial @ solution.value)
    known = expected_return(mdp, solution.policy, steps)
    best = float(mdp.initial @ finite_horizon(mdp, steps).value)
    print(f"{registry.label_of(chosen[0])}: {counted(states, 'state')}, {counted(actions, 'action')}")
    print(f"value at the start, with discount {discount:g}: {start:.4f}")
    print(f"return of this policy within {counted(steps, 'step')}: {known:.4f}")
    print(f"return of the best policy that may depend on the step: {best:.4f}\n")
    if layout is None:
        rows = [(str(i), symbols[i], f"{value:.4f}") for i, value in enumerate(solution.value) if symbols[i]]
        print_table(("state", "action", "value"), rows)
    else:
        values = np.where(symbols == "", "", [f"{value:.3f}" for value in solution.value])
        print(_grid(symbols[layout]), _grid(values[layout]), sep="\n\n")
    if out is not None:
        _draw(solution, symbols, layout, registry.label_of(chosen[0]), out)
        print(f"\n{out} shows values and policy")


def _require_table(env: "Environment") -> None:
    """Raises InputError for an environment that has no table of states, or one that is too large."""
    from jaxrl import registry
    from jaxrl.mdp.bandit import Bandit
    from jaxrl.mdp.spaces import Discrete

    name, states, actions = registry.name_of(env), env.observation_space, env.action_space
    if not (isinstance(states, Discrete) and isinstance(actions, Discrete)):
        learner = "thompson" if isinstance(env, Bandit) else "dqn" if isinstance(actions, Discrete) else "sac"
        raise InputError(
            f"{name} has no finite table of states and actions to solve; train a learner instead, such as "
            f"jaxrl train {learner} {name}"
        )
    if (size := 8.0 * states.n**2 * actions.n) > LARGEST:
        raise InputError(
            f"{name} has {states.n:,} states, whose table of transitions takes {size / 1e9:,.0f} GB; solve "
            f"one of at most {int((LARGEST / 8 / actions.n) ** 0.5):,} states"
        )


def _symbols(env: "Environment", mdp: "MDP", solution: "Solution") -> "np.ndarray":
    """The best action in each state as text: "·" where the episode is over, "" where it cannot come."""
    import numpy as np

    from jaxrl.mdp.finite import FiniteEnvironment
    from jaxrl.mdp.tabular import reachable

    over = ~(mdp.transition.any(axis=(1, 2)) | mdp.reward.any(axis=1))
    symbols = np.where(over, "·", "").astype(object)
    for state in np.flatnonzero(reachable(mdp) & ~over).tolist():
        action = int(solution.policy[state])
        symbols[state] = env.symbol(state, action) if isinstance(env, FiniteEnvironment) else str(action)
    return symbols


def _grid(cells: "np.ndarray") -> str:
    """Texts, [rows, columns], as lines of columns of one width."""
    width = max(len(cell) for cell in cells.flat)
    return "\n".join(" ".join(cell.rjust(width) for cell in row).rstrip() for row in cells)


def _draw(solution: "Solution", symbols: "np.ndarray", layout: Any, title: str, out: str) -> None:
    """Writes a picture of a map: colours for values, symbols for actions. Without a map, rows of states."""
    import numpy as np
    from matplotlib.figure import Figure

    from jaxrl.store.files import located

    states = len(solution.value)
    if layout is None:
        columns = int(np.ceil(np.sqrt(states)))
        layout = np.pad(np.arange(states), (0, -states % columns), constant_values=-1).reshape(-1, columns)
    shown = (layout >= 0) & (symbols[layout] != "")
    figure = Figure(figsize=(2 + 0.5 * layout.shape[1], 1 + 0.5 * layout.shape[0]), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(np.where(shown, solution.value[layout], np.nan), cmap="Blues")
    figure.colorbar(image, label="value")
    low, high = solution.value[layout[shown]].min(), solution.value[layout[shown]].max()
    for row, column in zip(*np.nonzero(shown), strict=True):
        state = layout[row, column]
        dark = solution.value[state] > (low + high) / 2
        axes.text(column, row, symbols[state], ha="center", va="center", color="white" if dark else "black")
    axes.set(title=title, xticks=[], yticks=[])
    try:
        figure.savefig(located(out), dpi=150)
    except (OSError, ValueError) as error:  # the latter for a format that matplotlib does not know
        raise InputError(f"{out} cannot be written: {getattr(error, 'strerror', None) or error}") from None
