"""Finding questions that are like another one, to be shown solved before it."""
