"""Real vision-language models: the zoo, their tiny random models, prompts, adapters, answering."""
