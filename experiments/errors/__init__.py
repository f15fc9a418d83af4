"""What reaches the user when something goes wrong: one sentence."""
