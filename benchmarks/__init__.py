"""What this code costs on a machine, and beside others: `jaxrl bench --help`."""
