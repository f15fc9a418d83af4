"""What is in which batch: every question once, images together, ranks even, order from the seed alone."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.loading.batching import BatchRequest, EvaluationBatches, TrainingBatches
from datamodules.loading.epoch_sampler import Curriculum, EpochSampler, EveryImage, WeightedParts
from datamodules.samples import DataError

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


def test_another_subset_of_questions_for_each_image_epoch_and_seed() -> None:
    subsets = [
        image.questions
        for seed, epoch in ((1, 0), (1, 1), (2, 0))
        for batch in training(seed, epoch)
        for image in batch.images
    ]
    assert len(set(subsets)) == len(subsets) == 3 * 20


def test_training_continues_within_an_epoch() -> None:
    assert training(1, 2, first=4) == training(1, 2)[4:]
    assert training(1, 2, first=7) == []


LENGTHS = st.lists(st.integers(0, 500), min_size=1, max_size=400).map(np.array)


@given(lengths=LENGTHS, batch_size=SMALL, ranks=SMALL, epoch=st.integers(0, 3))
def test_length_grouping_changes_only_the_order(
    lengths: np.ndarray, batch_size: int, ranks: int, epoch: int
) -> None:
    shares = []
    for given_lengths in (None, lengths):
        samplers = [
            TrainingBatches(np.ones(len(lengths), int), batch_size, 4, 3, rank, ranks, lengths=given_lengths)
            for rank in range(ranks)
        ]
        for sampler in samplers:
            sampler.epoch = epoch
        shares.append([list(sampler) for sampler in samplers])
        assert {len(share) for share in shares[-1]} == {len(samplers[0])}
    plain, grouped = (questions([batch for share in part for batch in share]) for part in shares)
    assert plain == grouped


def padding(lengths: np.ndarray, grouped: bool) -> float:
    """The share of a padded batch that is padding."""
    sampler = TrainingBatches(np.ones(len(lengths), int), 8, 4, 0, lengths=lengths if grouped else None)
    batches = [lengths[[image.group for image in batch.images]] for batch in sampler]
    return 1 - sum(batch.sum() for batch in batches) / sum(batch.max() * len(batch) for batch in batches)


def test_length_grouping_saves_padding() -> None:
    lengths = np.random.default_rng(0).lognormal(4, 0.7, 4000).astype(int)
    assert padding(lengths, grouped=False) > 0.5
    assert padding(lengths, grouped=True) < 0.1


def test_the_ranks_train_on_similar_lengths_at_the_same_time() -> None:
    lengths = np.arange(4 * 2 * 30)
    samplers = [
        TrainingBatches(np.ones(len(lengths), int), 4, 4, 0, rank, 2, lengths=lengths) for rank in (0, 1)
    ]
    for first, second in zip(*samplers, strict=True):
        together = [lengths[image.group] for batch in (first, second) for image in batch.images]
        assert max(together) - min(together) == 7


def test_length_grouped_batches_are_shuffled_and_continue() -> None:
    lengths = np.arange(1000)

    def batches(epoch: int, first: int = 0) -> list[BatchRequest]:
        sampler = TrainingBatches(np.ones(1000, int), 4, 4, 1, lengths=lengths)
        sampler.epoch, sampler.first = epoch, first
        return list(sampler)

    assert batches(0) == batches(0) != batches(1)
    assert batches(1, first=7) == batches(1)[7:]
    means = [np.mean([lengths[image.group] for image in batch.images]) for batch in batches(0)]
    assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 0.3


@given(
    parts=st.lists(st.tuples(st.integers(1, 40), st.floats(0.1, 10)), min_size=1, max_size=4),
    seed=st.integers(0, 5),
)
def test_weighted_parts_have_their_shares_and_come_round_evenly(
    parts: list[tuple[int, float]], seed: int
) -> None:
    sizes, weights = zip(*parts, strict=True)
    sampler = WeightedParts.of(sizes, weights)
    first = np.cumsum([0, *sizes])
    epochs = [sampler.epoch(seed, number) for number in range(5)]
    for order in epochs:
        assert len(order) == len(sampler)
        assert np.histogram(order, first)[0].tolist() == list(sampler.images_per_epoch)
    for part, (size, weight) in enumerate(parts):
        share = sum(sizes) * weight / sum(weights)
        assert abs(sampler.images_per_epoch[part] - share) <= max(0.5, 1 - share)
        times = np.bincount(np.concatenate(epochs), minlength=sum(sizes))[first[part] : first[part] + size]
        assert times.max() - times.min() <= 1


def test_weights_say_how_many_images_of_each_part_an_epoch_has() -> None:
    assert WeightedParts.of((10, 1000), (1, 1)).images_per_epoch == (505, 505)
    assert WeightedParts.of((10, 20, 30), (0, 1, 2)).images_per_epoch == (0, 20, 40)


HALF = np.arange(20)


@pytest.mark.parametrize(
    "sampler",
    [EveryImage(40), Curriculum(40, (HALF, HALF)), WeightedParts((20, 30), (40, 15))],
    ids=["every image", "a curriculum", "weighted parts"],
)
def test_a_sampler_has_an_order_for_each_seed_and_epoch_and_always_the_same(sampler: EpochSampler) -> None:
    first, second = (
        [tuple(sampler.epoch(seed, epoch)) for seed in range(3) for epoch in range(5)] for _ in range(2)
    )
    assert first == second
    assert len(set(first)) == len(first)


def test_which_images_of_a_part_an_epoch_takes_follows_from_seed_part_and_round() -> None:
    sampler = WeightedParts((20, 20), (10, 10))
    orders = [sampler.epoch(seed, epoch) for seed in range(3) for epoch in (0, 2, 4)]
    taken = [frozenset(order[order // 20 == part] % 20) for order in orders for part in (0, 1)]
    assert len(set(taken)) == len(taken)


@pytest.mark.parametrize("weights", [(1,), (1, -1), (0, 0), (1, 2, 3)])
def test_weights_that_cannot_be(weights: tuple[float, ...]) -> None:
    with pytest.raises(DataError, match="give one number for each part"):
        WeightedParts.of((10, 20), weights)


@pytest.mark.parametrize("grouped", [False, True])
def test_a_sampler_decides_the_epoch_on_every_rank(grouped: bool) -> None:
    sampler = WeightedParts.of((10, 90), (1, 1))
    lengths = np.arange(100) if grouped else None
    shares = [list(TrainingBatches(np.ones(100, int), 4, 4, 0, rank, 2, sampler, lengths)) for rank in (0, 1)]
    assert len(shares[0]) == len(shares[1]) == 13
    groups = [image.group for share in shares for batch in share for image in batch.images]
    assert sorted(groups) == sorted(sampler.epoch(0, 0).tolist())


@given(
    images=st.integers(1, 40),
    chosen=st.lists(st.sets(st.integers(0, 39), min_size=1), max_size=3),
    seed=st.integers(0, 5),
)
def test_a_curriculum_starts_with_its_stages_and_ends_with_everything(
    images: int, chosen: list[set[int]], seed: int
) -> None:
    stages = tuple(np.array(sorted({number % images for number in stage})) for stage in chosen)
    sampler = Curriculum(images, stages)
    for epoch, stage in enumerate(stages):
        drawn = Counter(sampler.epoch(seed, epoch).tolist())
        assert sum(drawn.values()) == len(sampler) == images
        assert set(drawn) <= set(stage.tolist())
        assert max(drawn.values()) - min(drawn[number] for number in stage.tolist()) <= 1
    assert sorted(sampler.epoch(seed, len(stages))) == list(range(images))
