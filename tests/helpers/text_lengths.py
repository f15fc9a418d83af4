"""The lengths by which images are grouped, for splits that tests make up."""

from __future__ import annotations

import numpy as np

from datamodules.loading.grouped import GroupedQuestions, text_length


def longest_texts(questions: GroupedQuestions) -> np.ndarray:
    """How long the longest question of each image is [images]."""
    sizes = questions.group_sizes().tolist()
    groups = [questions.samples(group, range(size)) for group, size in enumerate(sizes)]
    return np.array([max(map(text_length, group)) for group in groups])
