"""What a run has reached, as numbers, charts and pages."""
