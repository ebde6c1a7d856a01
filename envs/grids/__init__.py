"""Finite worlds made of cells, whose exact optimum `envs.tabular` finds."""
