"""The attention loss: where a teacher looks, found again in a mixture of the student's heads."""
