"""Procedurally rendered scenes, written in each benchmark's official layout."""
