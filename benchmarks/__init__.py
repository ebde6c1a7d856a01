"""Measurements of this code and of others on a machine: `python -m benchmarks --help`."""
