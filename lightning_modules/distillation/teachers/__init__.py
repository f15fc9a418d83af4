"""What a teacher says of a batch: asked in memory, or read from a folder."""
