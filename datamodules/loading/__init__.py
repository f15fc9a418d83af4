"""From a split to batches: what a split is, which questions make a batch, and opening their images."""
