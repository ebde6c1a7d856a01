"""Grids: finite environments made of cells. `envs.tabular` finds their exact optimum."""
