"""The same work in jaxrl, rejax and Stable-Baselines3: `python -m benchmarks peers`."""
