"""`python -m jaxrl`, the same as the command `jaxrl`."""

from jaxrl.cli import main

main()
