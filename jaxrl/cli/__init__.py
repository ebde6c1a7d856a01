from jaxrl.cli.commands import main

__all__ = ["main"]
