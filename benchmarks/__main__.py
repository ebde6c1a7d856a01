"""`python -m benchmarks NAME`, the same as `jaxrl bench NAME`."""

import sys

from jaxrl.cli import main

main(["bench", *sys.argv[1:]])
