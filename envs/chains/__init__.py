"""Chains: a reward at the end of a long row of right actions, or for what was remembered on the way."""
