"""Mutated records and files through every reader: `make fuzz`, and a few of them in `make test`."""
