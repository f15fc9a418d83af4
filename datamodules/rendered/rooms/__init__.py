"""Rendered rooms and yards full of varied objects, for the benchmarks that are not about a warehouse."""
