"""Several experiments over several seeds."""
