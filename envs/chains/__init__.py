"""Chains: finite environments whose reward lies at the end of a long row of right actions."""
