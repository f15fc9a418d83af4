"""Reading answers out of text: what models write, and what must stay unreadable."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.answers import READERS, read_count, read_distance, read_region, read_side


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("left", "left"),
        ("Right.", "right"),
        (" L ", "left"),
        ("right-hand", "right"),
        ("Left side", "left"),
        ("The pallet [Region 0] is to the left of the pallet [Region 1].", "left"),
        ("Region 1 is on the left, region 0 on the right. The answer is: right", "right"),
        ("No. It appears on the right-hand side.", "right"),
        ("The leftmost one.", "left"),
        ("One is left and one is right.", None),
        ("upright", None),
        ("", None),
    ],
)
def test_side(text: str, side: str | None) -> None:
    assert read_side(text) == side


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("3", "3"),
        ("[Region 12]", "12"),
        ("region 4", "4"),
        ("two", "2"),
        ("The pallet [Region 1] is the leftmost object from this viewpoint.", "1"),
        (
            "The shelf [Region 14] is on the right. The buffer [Region 0] is closest to shelf [Region 14].",
            "0",
        ),
        ("I compare 3 pallets. Answer: [Region 2].", "2"),
        ("The answer is 5.", "5"),
        ("the one on the left", None),
        ("no idea", None),
        ("", None),
    ],
)
def test_region(text: str, region: str | None) -> None:
    assert read_region(text) == region


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("4", "4"),
        ("2.7", "2.7"),
        ("There are exactly three pallets.", "3"),
        (
            "I see pallets [Region 5] [Region 9] [Region 12] in buffer [Region 0], exactly three pallets.",
            "3",
        ),
        ("One and two make three", "3"),
        ("There are no pallets in the buffer region [Region 1].", "0"),
        ("The answer is 2 pallets.", "2"),
        ("[Region 7]", None),
        ("many", None),
        ("", None),
    ],
)
def test_count(text: str, count: str | None) -> None:
    assert read_count(text) == count


@pytest.mark.parametrize(
    ("text", "metres"),
    [
        ("2.32", "2.32"),
        ("0", "0"),
        (".5", ".5"),
        ("The pallet [Region 0] is 8.95 meters from the pallet [Region 1].", "8.95"),
        ("The pallet [Region 0] and the pallet [Region 1] are 4.90 meters apart.", "4.90"),
        ("About 250 cm", "2.5"),
        ("10 feet", "3.048"),
        ("between 2 objects there are 3.5m", "3.5"),
        ("First 2.0 m, then 1.0 m. Answer: 3.0 m", "3.0"),
        ("Region 4", None),
        ("far", None),
        ("", None),
    ],
)
def test_distance(text: str, metres: str | None) -> None:
    assert read_distance(text) == metres


@given(st.text(max_size=60))
def test_no_text_breaks_a_reader(text: str) -> None:
    for read in READERS.values():
        assert read(text) is None or read(text)


@given(st.integers(0, 99), st.floats(0, 100).map(lambda value: round(value, 2)))
def test_bare_answers_are_read_as_they_stand(number: int, metres: float) -> None:
    assert read_count(str(number)) == read_region(str(number)) == read_distance(str(number)) == str(number)
    assert read_distance(str(metres)) == str(metres)
