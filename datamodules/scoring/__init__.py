"""Scores: metrics, the official rules, prediction files, baselines."""
