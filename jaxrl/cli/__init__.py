from jaxrl.cli.starting import ended_by_interrupts


def main() -> None:
    """The command `jaxrl`, with the arguments of this process."""
    with ended_by_interrupts():
        from jaxrl.cli import commands
    commands.main()
