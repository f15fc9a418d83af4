"""The logit loss: what a teacher thinks of the next token."""
