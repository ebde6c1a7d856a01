"""Throughput of environments and of training: `python -m benchmarks --help`."""
