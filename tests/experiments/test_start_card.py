"""What the start card says of a step, and what is said after the first batch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.loading.batching import TrainingBatches
from experiments.callbacks.start_card import said_of_tokens
from tests.helpers.commands import Command


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(1, 4), st.integers(1, 6))
def test_no_batch_is_larger_than_the_largest(sizes: list[int], batch_size: int, each: int) -> None:
    batches = TrainingBatches(np.array(sizes), batch_size, each, 0, 0, 1)
    found = []
    for epoch in range(6):
        batches.epoch = epoch
        found += [sum(len(image.questions) for image in batch.images) for batch in batches]
    assert max(found) <= batches.largest <= batch_size * each
    if len(sizes) <= batch_size:
        assert max(found) == batches.largest


def test_the_card_says_how_many_sequences_make_a_step_and_then_how_long_they_are(command: Command) -> None:
    """`batch_size: 2` is images: of up to four questions each here, and four batches make a step."""
    said = command(
        *("fit", "-c", "small_vlm/smolvlm_500m_lora", "--scale", "tiny"),
        *("--data.init_args.batch_size=2", "--data.init_args.questions_per_image=4"),
        *("--trainer.accumulate_grad_batches=4", "--trainer.limit_val_batches=0"),
    ).stdout
    card = " ".join(said.replace("│", " ").split())
    assert "step up to 8 questions on 2 images at once, up to 32 questions of 4 batches" in card
    assert said.count("The first batch: ") == 1
    line = next(line for line in said.splitlines() if line.startswith("The first batch: "))
    assert "sequences of" in line and "tokens in all" in line


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        (
            (8, 1500, 2000),
            "The first batch: 8 sequences of 1,500 tokens in all, 25% of the places are padding.",
        ),
        ((1, 77, 77), "The first batch: 1 sequence of 77 tokens in all."),
    ],
)
def test_padding_is_said_where_there_is_some(numbers: tuple[int, int, int], said: str) -> None:
    assert said_of_tokens(*numbers) == said
