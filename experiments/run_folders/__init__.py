"""Where a run keeps what it makes, and how runs are found again."""
