"""What stands behind each benchmark: its rows, its records and its texts."""
