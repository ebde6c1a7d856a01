"""What an accelerator does: its ceilings, training, peers, a whole study, a profile, exactness, tests."""
