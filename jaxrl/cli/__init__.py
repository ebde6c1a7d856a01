from collections.abc import Sequence

from jaxrl.cli.starting import ended_by_interrupts


def main(arguments: Sequence[str] | None = None) -> None:
    """The command `jaxrl`, by default with the arguments of this process."""
    with ended_by_interrupts():
        from jaxrl.cli import commands
    commands.main(arguments)
