"""What is learned from: reading benchmarks, changing samples (views), and scoring answers."""
