"""What happens beside training: progress, the start card, predictions, images and the clock."""
