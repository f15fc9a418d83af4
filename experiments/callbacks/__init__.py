"""What happens beside training: progress, the start card, predictions, pictures and the clock."""
