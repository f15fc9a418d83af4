"""Distillation: a large model taught into a small one, through its logits and its attention."""
