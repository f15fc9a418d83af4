"""TinyGiant: a small Mixture-of-Experts vision-language model for questions about regions of a scene."""
