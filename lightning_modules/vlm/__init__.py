"""Real vision-language models: the zoo, their tiny twins, prompts, adapters, answering."""
