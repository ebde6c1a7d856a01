"""Classic control: small physical systems with real observations."""
