"""Reading answers out of text: what models write, and what must stay unreadable."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.answers import FINDERS, read_count, read_distance, read_length, read_region, read_side


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
        ("<think>A pallet is 1.2 m wide.</think><answer>3.4 m</answer>", "3.4"),
        ("2\u20133 m", "2.5"),
        ("3 feet 4 inches", "1.016"),
        ("-3 m", "-3"),
        ("Region 4", None),
        ("far", None),
        ("", None),
    ],
)
def test_distance(text: str, metres: str | None) -> None:
    assert read_distance(text) == metres


FOOT, INCH = 0.3048, 0.0254


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("2\u20133 feet", 2 * FOOT, 3 * FOOT),
        ("10\u201315 meters", 10, 15),
        ("1 meter", 1, 1),
        ("about 1.5 m", 1.5, 1.5),
        ("between 2 and 3 feet", 2 * FOOT, 3 * FOOT),
        ("from two to three feet", 2 * FOOT, 3 * FOOT),
        ("3 feet 4 inches", 3 * FOOT + 4 * INCH, 3 * FOOT + 4 * INCH),
        ("5'10\"", 5 * FOOT + 10 * INCH, 5 * FOOT + 10 * INCH),
        ("5\u2032 10\u2033", 5 * FOOT + 10 * INCH, 5 * FOOT + 10 * INCH),
        ("5 feet 6 inches to 6 feet", 5.5 * FOOT, 6 * FOOT),
        ("3-foot", 3 * FOOT, 3 * FOOT),
        ("3\u00bd feet", 3.5 * FOOT, 3.5 * FOOT),
        ("1 1/2 m", 1.5, 1.5),
        ("two and a half feet", 2.5 * FOOT, 2.5 * FOOT),
        ("a foot and a half", 1.5 * FOOT, 1.5 * FOOT),
        ("half a meter", 0.5, 0.5),
        ("10 cm - 1 m", 0.1, 1),
        ("2m-3m", 2, 3),
        ("60-70 cm tall", 0.6, 0.7),
        ("roughly 6 to about 7 yards", 6 * 0.9144, 7 * 0.9144),
        ("1,200 m", 1200, 1200),
        ("1,5 m", 1.5, 1.5),
        ("2 feet (0.6 meters)", 0.6, 0.6),
        ("3-2 m", 2, 3),
        ("2.5", 2.5, 2.5),
        ("2-3", 2, 3),
        ("2 in.", 2 * INCH, 2 * INCH),
        ("There are 2 in the room, 3 m apart", 3, 3),
        ("The 2 objects are 0.5 m apart.", 0.5, 0.5),
        ("The answer is 2 feet. A pallet is usually 4 feet wide.", 2 * FOOT, 2 * FOOT),
        ("<think>It is 4 feet wide.</think>\n<answer>2\u20133 feet</answer>", 2 * FOOT, 3 * FOOT),
        ("The shelf is 2 m tall. It is 1 m from the [Region 3].", 1, 1),
    ],
)
def test_length(text: str, low: float, high: float) -> None:
    assert read_length(text) == pytest.approx((low, high))


@pytest.mark.parametrize(
    "text", ["", "far", "a chair", "six", "-3 m", "1/0 m", "1.2.3 m", "[Region 4]", "I do not know."]
)
def test_no_length(text: str) -> None:
    assert read_length(text) is None


UNITS = {"m": 1, "meters": 1, "dm": 0.1, "cm": 0.01, "mm": 0.001, "km": 1000, "feet": FOOT, "ft": FOOT}
UNITS |= {
    "inches": INCH,
    "yards": 3 * FOOT,
    "miles": 1760 * 3 * FOOT,
    "decimeters": 0.1,
    "millimetres": 0.001,
}


@given(
    st.floats(0, 999).map(lambda value: round(value, 2)),
    st.floats(0, 999).map(lambda value: round(value, 2)),
    st.sampled_from(list(UNITS)),
    st.sampled_from(
        [
            "{} {unit}",
            "{}{unit}",
            "{}-{} {unit}",
            "{} to {} {unit}",
            "between {} and {} {unit}",
            "{} {unit} to {} {unit}",
        ]
    ),
    st.sampled_from(
        ["{}", "About {}.", "The chair is {} away.", "<answer>{}</answer>", "5 m is wrong. The answer is {}."]
    ),
)
def test_any_length_in_any_frame_is_read_back(
    first: float, second: float, unit: str, form: str, frame: str
) -> None:
    written = frame.format(form.format(first, second, unit=unit))
    ends = (first, second) if form.count("{}") == 2 else (first, first)
    assert read_length(written) == pytest.approx((min(ends) * UNITS[unit], max(ends) * UNITS[unit]))


@pytest.mark.parametrize("unit", UNITS)
def test_every_unit_is_its_metres(unit: str) -> None:
    assert read_length(f"7 {unit}") == pytest.approx((7 * UNITS[unit],) * 2)


@given(st.text(max_size=60))
def test_no_text_breaks_a_reader(text: str) -> None:
    for find in FINDERS.values():
        assert (found := find(text, "")) is None or found.value
    assert (length := read_length(text)) is None or 0 <= length.low <= length.middle <= length.high


@given(st.integers(0, 99), st.floats(0, 100).map(lambda value: round(value, 2)))
def test_bare_answers_are_read_as_they_stand(number: int, metres: float) -> None:
    assert read_count(str(number)) == read_region(str(number)) == read_distance(str(number)) == str(number)
    assert read_distance(str(metres)) == str(metres)
