"""Which questions ask for the region that is nearest to something, of which regions and to what."""

from __future__ import annotations

import pytest

from datamodules.rendered.warehouse import draw_warehouse
from datamodules.statistics.nearest_region import nearest_question

PALLETS, SHELF = "the pallets <mask> <mask>", "the shelf <mask>"


@pytest.mark.parametrize(
    ("question", "candidates", "target"),
    [
        (f"Which of {PALLETS} <mask> is the closest to {SHELF}?", (0, 1, 2), 3),
        ("Which of the pallet <mask> and the pallet <mask> is nearest to the camera?", (0, 1), None),
        ("From here, out of the shelves <mask> <mask>, which is nearest to the pallet <mask>?", (0, 1), 2),
        (f"Given {SHELF} and {PALLETS}, which pallet is closest to the shelf?", (1, 2), 0),
        (f"With {PALLETS} and the buffer region <mask>, find the nearest to the buffer region.", (0, 1), 2),
        (f"With the transporter <mask> and {PALLETS}, which pallet is best for pick-up by it?", (1, 2), 0),
        (f"Given {PALLETS} and the transporter <mask>, which pallet should it pick up?", (0, 1), 2),
        ("Among <mask> <mask>, which one is nearest to the pallet <mask>?", (0, 1), 2),
    ],
)  # fmt: skip
def test_what_a_question_for_the_nearest_region_asks(
    question: str, candidates: tuple[int, ...], target: int | None
) -> None:
    found = nearest_question(question)
    assert found is not None and (found.candidates, found.target) == (candidates, target)


@pytest.mark.parametrize(
    "question",
    [
        f"Which of {PALLETS} is the leftmost?",
        # Which shelf is meant has to be found first, or is not said.
        f"Given the shelves <mask> <mask> and {PALLETS}, which pallet is nearest to the leftmost shelf?",
        f"Given the shelves <mask> <mask> and {PALLETS}, which pallet is nearest to the shelf on the left?",
        f"Given {SHELF} and {PALLETS}, which pallet is nearest to the shelf on the left?",
        f"Given the shelves <mask> <mask> and {PALLETS}, which pallet is nearest to the shelf?",
        f"Given {PALLETS} and {SHELF}, which pallet is closest to the buffer region closest to the shelf?",
        f"Given {PALLETS} and the transporters <mask> <mask>, which pallet should the transporter pick up?",
        f"Given {PALLETS} <mask>, which pallet is nearest to the pallet?",
        # There is nothing to choose from, or it is of several kinds.
        f"Given the pallet <mask> and {SHELF}, which pallet is nearest to the shelf?",
        "Which of the pallet <mask> is nearest to the shelf <mask>?",
        "Which pallet is nearest to the camera?",
        f"Which of the pallet <mask> and {SHELF} is nearest to the transporter <mask>?",
        f"Which of the pallet <mask> and {SHELF} is nearest to the camera?",
        f"Given {PALLETS}, the buffer region <mask> and {SHELF}, which pallet is nearest to the shelf?",
        "Which buffer region is empty?",
    ],
)
def test_other_questions_ask_for_no_nearest_region(question: str) -> None:
    assert nearest_question(question) is None


def test_every_rendered_question_for_the_nearest_is_found() -> None:
    """By the family that the renderer counts it to; and its right answer is one of those to choose from."""
    found = 0
    for number in range(12):
        split = ("train", "val")[number % 2]
        for offered in draw_warehouse("real", split, number, (224, 128), 2)[2]:
            if offered.category != "mcq":
                continue
            asked = nearest_question(offered.question)
            assert (asked is not None) == (offered.family == "closest"), offered.question
            if asked is not None:
                found += 1
                assert int(offered.answer) in asked.candidates
                assert len(asked.candidates) + (asked.target is not None) == len(offered.regions)
    assert found > 30
