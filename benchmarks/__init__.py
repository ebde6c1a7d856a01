"""What this code costs on a machine, and beside others: `python -m benchmarks --help`."""
