"""What `benchmarks.on_gpu` measures, one part a file, and what the parts share."""
