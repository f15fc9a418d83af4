"""What an answer costs: the time of one question at a time, divided into its stages."""
