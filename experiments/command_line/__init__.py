"""LightningCLI with whole experiments: what runs, in which order, on what conditions."""
