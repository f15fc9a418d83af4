"""How many steps lead to an answer."""

import pytest

from datamodules.benchmarks.reasoning_steps import steps_before_answer

SEEN = "I see pallets [Region 1] [Region 4] in the buffer region [Region 0]."
COUNTED = "So there are exactly two pallets."
OUTERMOST = "[Region 11] is the rightmost pallet."
FROM_THE_IMAGE = (
    "From the image's perspective, [Region 4] is the leftmost pallet, and [Region 1] is the rightmost pallet."
)
"""A real wording."""
AMONG_ALL = "[Region 2] is the leftmost buffer region amongall the buffer regions."
"""Another one, as it is written there."""
APART = "The distance from the pallet [Region 4] to the pallet [Region 1] is approximately 9.8 meters."


@pytest.mark.parametrize(
    ("sentences", "steps"),
    [
        ([], 0),
        ([APART], 0),
        ([COUNTED], 0),
        ([OUTERMOST, APART], 1),
        ([FROM_THE_IMAGE, APART], 1),
        ([OUTERMOST, AMONG_ALL, APART], 2),
        ([SEEN, COUNTED], 0),
        (["I see no pallets in the buffer region [Region 0].", COUNTED], 0),
        ([AMONG_ALL, SEEN, COUNTED], 1),
        ([AMONG_ALL, OUTERMOST, "I see pallet [Region 1] in the buffer region [Region 3].", COUNTED], 2),
        ([SEEN], 0),
    ],
)
def test_sentences_before_the_answer_are_steps_and_listings_are_none(
    sentences: list[str], steps: int
) -> None:
    assert steps_before_answer(" ".join(sentences)) == steps
    assert steps_before_answer("\n".join(["", *sentences, ""])) == steps
