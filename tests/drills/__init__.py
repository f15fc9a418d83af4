"""Faults of machines and people, done to real runs on purpose."""
