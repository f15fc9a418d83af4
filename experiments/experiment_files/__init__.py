"""Experiment files: which there are, what they are put together from, and a trained model from one."""
