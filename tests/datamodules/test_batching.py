"""What is in which batch: every question once, images together, ranks even, order from the seed alone."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from datamodules.batching import BatchRequest, EvaluationBatches, TrainingBatches

SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=30).map(np.array)
SMALL = st.integers(1, 6)


def questions(batches: list[BatchRequest]) -> Counter[tuple[int, int]]:
    return Counter(
        (image.group, number) for batch in batches for image in batch.images for number in image.questions
    )


@given(sizes=SIZES, batch_size=SMALL, limit=st.integers(1, 20), ranks=SMALL)
def test_evaluation_asks_every_question_once(
    sizes: np.ndarray, batch_size: int, limit: int, ranks: int
) -> None:
    samplers = [EvaluationBatches(sizes, batch_size, limit, rank, ranks) for rank in range(ranks)]
    shares = [list(sampler) for sampler in samplers]
    assert [len(share) for share in shares] == [len(sampler) for sampler in samplers]
    everything = questions([batch for share in shares for batch in share])
    assert everything == Counter(
        {(group, number): 1 for group, size in enumerate(sizes) for number in range(size)}
    )
    for batch in (batch for share in shares for batch in share):
        assert 1 <= len(batch.images) <= batch_size
        assert all(1 <= len(image.questions) <= limit for image in batch.images)
        assert batch.epoch is None


@given(sizes=SIZES, batch_size=SMALL, ranks=SMALL)
def test_evaluation_gives_all_ranks_as_many_batches_where_it_can(
    sizes: np.ndarray, batch_size: int, ranks: int
) -> None:
    samplers = [EvaluationBatches(sizes, batch_size, 16, rank, ranks) for rank in range(ranks)]
    most = max(len(sampler) for sampler in samplers)
    for sampler in samplers:
        has = sum(len(image.questions) for batch in sampler for image in batch.images)
        assert len(sampler) == min(most, has)


@given(sizes=SIZES, batch_size=SMALL, limit=st.integers(1, 20), ranks=SMALL, epoch=st.integers(0, 3))
def test_training_shows_every_image_and_gives_ranks_as_many_batches(
    sizes: np.ndarray, batch_size: int, limit: int, ranks: int, epoch: int
) -> None:
    samplers = [TrainingBatches(sizes, batch_size, limit, 5, rank, ranks) for rank in range(ranks)]
    for sampler in samplers:
        sampler.epoch = epoch
    shares = [list(sampler) for sampler in samplers]
    assert {len(share) for share in shares} == {len(samplers[0])}
    images = [image for share in shares for batch in share for image in batch.images]
    assert {image.group for image in images} == set(range(len(sizes)))
    assert len(images) < len(sizes) + ranks
    for image in images:
        assert len(image.questions) == min(limit, sizes[image.group])
        assert sorted(set(image.questions)) == list(image.questions)
        assert max(image.questions) < sizes[image.group]


def training(seed: int, epoch: int, first: int = 0) -> list[BatchRequest]:
    sampler = TrainingBatches(np.full(20, 30), 3, 16, seed)
    sampler.epoch, sampler.first = epoch, first
    return list(sampler)


def test_training_order_follows_from_seed_and_epoch() -> None:
    assert training(1, 0) == training(1, 0)
    assert training(1, 0) != training(1, 1)
    assert training(1, 0) != training(2, 0)


def test_another_subset_of_questions_in_each_epoch() -> None:
    first, second = (
        {image.group: image.questions for batch in training(1, epoch) for image in batch.images}
        for epoch in (0, 1)
    )
    assert first[0] != second[0]


def test_training_continues_within_an_epoch() -> None:
    assert training(1, 2, first=4) == training(1, 2)[4:]
    assert training(1, 2, first=7) == []
