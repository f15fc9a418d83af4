"""Views: what they change, what they leave, and what holds for every sample."""

import pickle
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from datamodules import views
from datamodules.ai_city_track3 import AiCityTrack3
from datamodules.loading.batching import BatchRequest, ImageRequest
from datamodules.loading.image_loading import ImageLoading
from datamodules.loading.listed_questions import ListedQuestions
from datamodules.samples import LETTERS, AnswerType, OpenedImage, Region, SpatialSample
from datamodules.views import (
    AsMultipleChoice,
    Blind,
    Blurred,
    BoxesInText,
    Compressed,
    DepthAsImage,
    DroppedDepth,
    GrayImage,
    Grayscale,
    LowLight,
    Marked,
    Mirrored,
    NoDepth,
    NoisyDepth,
    NoisyImages,
    NotApplicable,
    OtherPicture,
    Paraphrased,
    PlainGray,
    RotatedChoices,
    ShuffledRegions,
    SwappedOrder,
    View,
)
from datamodules.views.marks import COLOURS, draw_marks

WIDTH, HEIGHT = 200, 100


@dataclass(frozen=True)
class StubImage:
    """A white image that counts how often it is opened."""

    name: str = "image"
    opened: list[str] = field(default_factory=list, compare=False)

    def open(self) -> Image.Image:
        self.opened.append(self.name)
        return Image.new("RGB", (WIDTH, HEIGHT), (255, 255, 255))


def rectangle(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top:bottom, left:right] = True
    return mask


REGIONS = tuple(Region.from_mask(rectangle(*box)) for box in ((10, 20, 90, 80), (120, 5, 190, 95)))


def warehouse(**changes: object) -> SpatialSample:
    sample = SpatialSample(
        id="a-1",
        question="Is the pallet <mask> left of the pallet <mask>?",
        image=StubImage(),
        depth=StubImage("depth"),
        regions=REGIONS,
        answer="left",
        answer_type=AnswerType.SIDE,
        group="a",
    )
    return sample.replace(**changes)


def choice(*choices: str, answer: str = "A", **changes: object) -> SpatialSample:
    return SpatialSample(
        id="c", question="Which?", choices=choices, answer=answer, answer_type=AnswerType.LETTER
    ).replace(**changes)


# Marks


def test_marked_names_the_regions_and_keeps_them() -> None:
    seen = Marked()(warehouse())
    assert seen.question == "Is the pallet [Region 0] left of the pallet [Region 1]?"
    assert seen.regions == REGIONS
    assert seen.image is not None
    assert seen.image.name == "image"


def test_marks_are_outlines_and_badges_inside_their_regions() -> None:
    masks = [region.mask() for region in REGIONS]
    before = Image.new("RGB", (WIDTH, HEIGHT), (255, 255, 255))
    after = np.asarray(draw_marks(before, masks))
    assert np.asarray(before).min() == 255
    changed = (after != 255).any(axis=2)
    coloured = [(after == colour).all(axis=2) for colour in COLOURS[:2]]
    for mask, colour in zip(masks, coloured, strict=True):
        assert colour.any()
        assert not (colour & ~mask).any()
        # Most of the region can still be seen.
        assert (changed & mask).mean() < 0.5 * mask.mean()
    outside = changed & ~(masks[0] | masks[1])
    assert outside.sum() < 0.05 * outside.size


def trimmed(strokes: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(strokes)
    return strokes[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def strokes_of(number: int) -> np.ndarray:
    """A number as it is written in large images."""
    image = Image.new("L", (60, 60))
    ImageDraw.Draw(image).text((9, 9), str(number), fill=255, font=ImageFont.load_default(20))
    return trimmed(np.asarray(image) > 0.4 * 255)


def test_badge_and_box_of_a_region_have_the_number_by_which_the_question_calls_it() -> None:
    width, height, side = 800, 360, 80
    grid = [(10 + 110 * (index % 7), 30 + 160 * (index // 7)) for index in range(12)]
    places = [grid[number] for number in np.random.default_rng(0).permutation(12)]
    masks = np.zeros((12, height, width), bool)
    for mask, (left, top) in zip(masks, places, strict=True):
        mask[top : top + side, left : left + side] = True
    image = OpenedImage("a", Image.new("RGB", (width, height)))
    regions = tuple(map(Region.from_mask, masks))
    named = Marked()(SpatialSample("a", "<mask> " * 12, image=image, regions=regions))
    boxed = BoxesInText()(named).question
    assert named.question == "".join(f"[Region {index}] " for index in range(12))
    assert named.image is not None
    pixels = np.asarray(named.image.open())
    for index, (left, top) in enumerate(places):
        inside = pixels[top + 4 : top + side - 4, left + 4 : left + side - 4]
        rows, columns = np.nonzero(inside.any(axis=2))
        assert abs(rows.mean() + 4.5 - side / 2) < 3 and abs(columns.mean() + 4.5 - side / 2) < 3
        badge = inside[rows.min() + 3 : rows.max() - 2, columns.min() + 3 : columns.max() - 2]
        ground = np.array(COLOURS[index % len(COLOURS)])
        least = ground.argmin()
        assert np.array_equal(trimmed(badge[..., least] > 0.6 * ground[least] + 0.4 * 255), strokes_of(index))
        found = re.search(rf"\[Region {index}\] \(box (\d+) (\d+) (\d+) (\d+)\)", boxed)
        edges = np.array([left / width, top / height, (left + side) / width, (top + side) / height])
        assert found and np.abs(np.array(found.groups(), int) - 1000 * edges).max() < 1


def test_badges_of_regions_on_each_other_lie_apart() -> None:
    whole, small = rectangle(0, 0, WIDTH, HEIGHT), rectangle(80, 30, 120, 70)
    after = np.asarray(draw_marks(Image.new("RGB", (WIDTH, HEIGHT), (0, 0, 0)), [small, whole]))
    middles = []
    for colour in COLOURS[:2]:
        rows, columns = np.nonzero((after[3:-3, 3:-3] == colour).all(axis=2))
        middles.append((rows.mean(), columns.mean()))
    assert np.hypot(*np.subtract(middles[0], middles[1])) > 20


@given(
    boxes=st.lists(
        st.tuples(st.integers(0, 199), st.integers(0, 99), st.integers(1, 60), st.integers(1, 60)),
        max_size=14,
    )
)
def test_any_regions_can_be_marked(boxes: list[tuple[int, int, int, int]]) -> None:
    masks = [rectangle(left, top, left + width, top + height) for left, top, width, height in boxes]
    masks.append(np.zeros((HEIGHT, WIDTH), bool))
    after = draw_marks(Image.new("L", (WIDTH, HEIGHT)), masks)
    assert (after.size, after.mode) == ((WIDTH, HEIGHT), "RGB")


def test_marked_without_image_or_regions() -> None:
    assert Marked()(warehouse(image=None)).question.count("[Region") == 2
    bare = Marked()(warehouse(question="Why?", regions=()))
    assert isinstance(bare.image, StubImage)


def test_marks_of_one_image_share_its_decoding() -> None:
    opened: list[str] = []
    samples = [
        warehouse(id=f"a-{number}", image=StubImage("a", opened), depth=None, regions=REGIONS[:number])
        for number in range(3)
    ]
    loading = ImageLoading(ListedQuestions.grouped(samples), (Marked(), Grayscale()))
    batch = loading[BatchRequest((ImageRequest(0, (0, 1, 2)),))]
    assert opened == ["a"]
    images = [sample.image.image for sample in batch.opened if isinstance(sample.image, OpenedImage)]
    assert len({image.tobytes() for image in images}) == 3
    assert all(isinstance(sample.image, GrayImage) for sample in batch.light)


def test_a_real_frame_is_marked_within_its_masks(shared_data: Path, tmp_path: Path) -> None:
    real = AiCityTrack3(
        root=str(shared_data / "ai_city_track3"), splits={"test": "val"}, cache=str(tmp_path), num_workers=0
    )
    (sample,) = real.split("test").samples(1, [0])
    seen = Marked()(sample)
    assert sample.image is not None
    assert seen.image is not None
    difference = (np.asarray(sample.image.open().convert("RGB")) != np.asarray(seen.image.open())).any(axis=2)
    near = np.zeros_like(difference)
    for region in sample.regions:
        rows, columns = np.nonzero(region.mask())
        near[rows.min() - 6 : rows.max() + 7, columns.min() - 6 : columns.max() + 7] = True
        assert difference[region.mask()].any()
    assert not (difference & ~near).any()


# Boxes


def test_boxes_are_thousandths_of_the_image() -> None:
    assert BoxesInText()(warehouse()).question == (
        "Is the pallet [Region 0] (box 50 200 450 800) left of the pallet [Region 1] (box 600 50 950 950)?"
    )


def test_boxes_and_marks_go_together_in_any_order() -> None:
    both = Marked()(BoxesInText()(warehouse())), BoxesInText()(Marked()(warehouse()))
    assert both[0].question == both[1].question
    assert both[0].question.count("(box") == 2
    assert BoxesInText()(both[0]).question == both[0].question


def test_blind_takes_the_boxes_away() -> None:
    seen = Blind()(BoxesInText()(warehouse()))
    assert seen.question == "Is the pallet [Region 0] left of the pallet [Region 1]?"
    assert BoxesInText()(Blind()(warehouse())).question == seen.question


def test_the_boxes_of_a_record_go_where_they_hold_no_longer() -> None:
    """Without the image they are of nothing, in a mirror they are elsewhere; else they stay."""
    sample = warehouse(boxes=((10.0, 20.0, 90.0, 80.0),))
    with_example = sample.replace(examples=(sample,))
    for view in (Blind(), Mirrored()):
        seen = view(with_example)
        assert seen.boxes == seen.examples[0].boxes == ()
    assert all(view(sample).boxes == sample.boxes for view in (Grayscale(), NoDepth(), Marked()))


SPANS = st.integers(1, 1300).flatmap(
    lambda size: st.tuples(st.just(size), st.integers(0, size - 1), st.integers(1, size))
)
"""The size of an image in one direction, where a region begins there, and how long it would like to be."""


@given(across=SPANS, down=SPANS)
def test_a_box_is_the_smallest_that_holds_its_region(
    across: tuple[int, int, int], down: tuple[int, int, int]
) -> None:
    """In images of any size, whose pixels mostly are no whole thousandths."""
    (width, left, wide), (height, top, tall) = across, down
    mask = np.zeros((height, width), bool)
    mask[top : top + tall, left : left + wide] = True
    question = BoxesInText()(warehouse(question="<mask>", regions=(Region.from_mask(mask),))).question
    x1, y1, x2, y2 = map(int, re.findall(r"\d+", question)[1:])
    for (size, start, length), first, last in ((across, x1, x2), (down, y1, y2)):
        end = min(start + length, size)
        assert 0 <= first * size <= 1000 * start < (first + 1) * size
        assert (last - 1) * size < 1000 * end <= last * size <= 1000 * size


# Depth


def test_depth_becomes_the_last_image_and_the_question_says_which_one_it_is() -> None:
    for before, ordinal in enumerate(("first", "second", "third", "fourth", "fifth", "last", "last")):
        names = [f"{number}" for number in range(before)]
        images = [StubImage(name) for name in names]
        sample = warehouse(image=images[0] if images else None, further_images=tuple(images[1:]))
        seen = DepthAsImage()(sample)
        assert seen.question.startswith(
            f"The {ordinal} image of this question shows the depth of the scene: brighter is farther. Is"
        )
        assert seen.depth is None and seen.image == sample.image
        assert [image.name for image in seen.further_images] == [*names[1:], "depth"]
        assert seen.further_images[-1].open().mode == "RGB"
    without = warehouse(depth=None)
    assert DepthAsImage()(without) is without


# Rotation


@given(
    texts=st.lists(st.text("xyz ", min_size=1), min_size=2, max_size=8, unique=True),
    shifts=st.tuples(st.integers(-10, 10), st.integers(-10, 10)),
    data=st.data(),
)
def test_rotations(texts: list[str], shifts: tuple[int, int], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(texts) - 1))
    sample = choice(*texts, answer=LETTERS[place])
    first, second = shifts
    seen = RotatedChoices(first)(sample)
    assert sorted(seen.choices) == sorted(texts)
    assert seen.answer is not None
    assert seen.choices[LETTERS.index(seen.answer)] == texts[place]
    assert RotatedChoices(second)(seen) == RotatedChoices(first + second)(sample)
    assert RotatedChoices(len(texts))(sample) == sample
    places = {RotatedChoices(shift)(sample).answer for shift in range(len(texts))}
    assert places == set(LETTERS[: len(texts)])


def test_a_rotation() -> None:
    seen = RotatedChoices(1)(choice("w", "x", "y", answer="A"))
    assert (seen.choices, seen.answer) == (("x", "y", "w"), "C")
    assert RotatedChoices(1)(choice("x", "y").replace(answer=None)).answer is None


@pytest.mark.parametrize(
    "choices",
    [
        ("x", "y", "Both A and B"),
        ("x", "y", "both"),
        ("x", "y", "Like the one above"),
        ("x", "y", "all of them"),
        ("x", "y", "none of it"),
        ("x", "y", "One of these"),
        ("x", "(B)", "z"),
        ("A", "B", "C"),
        ("A or C", "x", "y"),
        ("Neither", "x"),
    ],
)
def test_choices_that_mention_letters_stay(choices: tuple[str, ...]) -> None:
    sample = choice(*choices)
    assert RotatedChoices(1)(sample) is sample


@pytest.mark.parametrize(
    "choices", [("A car", "x"), ("U-turn", "x"), ("E", "x"), ("I do", "You do"), ("Box", "Cab")]
)
def test_choices_that_only_look_like_it_are_rotated(choices: tuple[str, ...]) -> None:
    assert RotatedChoices(1)(choice(*choices)).choices == (choices[1], choices[0])


def test_other_questions_are_not_rotated() -> None:
    for sample in (warehouse(), choice(), choice("x", "y", rationale="So (B) is right.")):
        assert RotatedChoices(1)(sample) is sample


# Multiple choice


def chosen(sample: SpatialSample) -> str:
    assert sample.answer is not None
    assert sample.answer_type is AnswerType.LETTER
    assert sample.answer in sample.letters
    return sample.choices[LETTERS.index(sample.answer)]


IDS = st.text(min_size=1, max_size=8)


@given(name=IDS, count=st.integers(0, 40))
def test_counts(name: str, count: int) -> None:
    sample = warehouse(id=name, answer=str(count), answer_type=AnswerType.COUNT)
    seen = AsMultipleChoice()(sample)
    assert seen == AsMultipleChoice()(sample)
    assert chosen(seen) == str(count)
    assert len(set(seen.choices)) == 4
    assert all(
        0 < abs(int(other) - count) <= 3 and int(other) >= 0 for other in set(seen.choices) - {str(count)}
    )
    assert (seen.question, seen.task, seen.image, seen.id) == (
        sample.question,
        sample.task,
        sample.image,
        sample.id,
    )


@pytest.mark.parametrize("end", ["", "."])
def test_counts_in_words(end: str) -> None:
    words = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    for count, word in enumerate(words):
        sample = warehouse(answer=f"{word.title()}{end}", answer_type=AnswerType.COUNT)
        assert chosen(AsMultipleChoice()(sample)) == str(count)


@given(name=IDS, metres=st.decimals(0, 30, places=2).map(lambda number: f"{number:f}"))
def test_lengths_in_metres(name: str, metres: str) -> None:
    seen = AsMultipleChoice()(warehouse(id=name, answer=metres, answer_type=AnswerType.DISTANCE))
    assert chosen(seen) == f"{metres} m"
    assert len(set(seen.choices)) == 4
    for other in set(seen.choices) - {f"{metres} m"} if float(metres) else ():
        times, rounding = float(other.removesuffix(" m")) / float(metres), 0.006 / float(metres)
        assert 0.25 - rounding < times < 0.7 + rounding or 1.4 - rounding < times < 3.5 + rounding


@given(
    name=IDS,
    low=st.integers(1, 20),
    more=st.integers(0, 5),
    unit=st.sampled_from(["feet", "meters", "inches", "cm", "m"]),
)
def test_lengths_with_units_and_ranges(name: str, low: int, more: int, unit: str) -> None:
    answer = f"{low}\u2013{low + more} {unit}" if more else f"{low + 1} {unit}"
    seen = AsMultipleChoice()(warehouse(id=name, answer=answer, answer_type=AnswerType.DISTANCE))
    assert chosen(seen) == answer
    assert len(set(seen.choices)) == 4
    numbers = [list(map(float, re.findall(r"\d+(?:\.\d+)?", text))) for text in seen.choices]
    right = numbers[seen.choices.index(answer)]
    for found, text in zip(numbers, seen.choices, strict=True):
        assert len(found) == len(right)
        assert text == answer or abs(found[-1] / right[-1] - 1) > 0.1


def test_grammar_does_not_give_the_right_length_away() -> None:
    units = {"meter": "meters", "metre": "metres", "foot": "feet", "inch": "inches", "yard": "yards"}
    for one, many in units.items():
        for answer in (f"1 {one}", f"4 {many}"):
            for number in range(20):
                sample = warehouse(id=str(number), answer=answer, answer_type=AnswerType.DISTANCE)
                seen = AsMultipleChoice()(sample)
                assert all(text == f"1 {one}" or text.endswith(f" {many}") for text in seen.choices)


@pytest.mark.parametrize(("answer", "form"), [("8", AnswerType.COUNT), ("7.31", AnswerType.DISTANCE)])
def test_neither_place_nor_size_gives_the_right_answer_away(answer: str, form: AnswerType) -> None:
    letters: list[Any] = []
    ranks: list[Any] = []
    for number in range(2000):
        seen = AsMultipleChoice()(warehouse(id=f"question {number}", answer=answer, answer_type=form))
        letters.append(seen.answer)
        sizes = sorted(seen.choices, key=lambda text: float(text.removesuffix(" m")))
        ranks.append(sizes.index(chosen(seen)))
    for values in (letters, ranks):
        counts = np.unique(values, return_counts=True)[1]
        assert len(counts) == 4
        assert counts.min() > 420


def test_sides_and_regions() -> None:
    seen = AsMultipleChoice()(warehouse())
    assert (chosen(seen), set(seen.choices)) == ("left", {"left", "right"})
    regions = tuple(Region.from_mask(rectangle(index, 0, index + 5, 9)) for index in range(7))
    seen = AsMultipleChoice()(warehouse(regions=regions, answer="4", answer_type=AnswerType.REGION))
    assert chosen(seen) == "[Region 4]"
    assert len(set(seen.choices)) == 4
    assert set(seen.choices) <= {f"[Region {index}]" for index in range(7)}


@pytest.mark.parametrize(
    "sample",
    [
        choice("x", "y"),
        warehouse(answer=None),
        warehouse(answer="on the table", answer_type=AnswerType.TEXT),
        warehouse(answer="0", answer_type=AnswerType.REGION, regions=REGIONS[:1]),
        warehouse(answer="several", answer_type=AnswerType.COUNT),
        warehouse(answer="quite far", answer_type=AnswerType.DISTANCE),
    ],
)
def test_what_cannot_become_a_choice_stays(sample: SpatialSample) -> None:
    assert AsMultipleChoice()(sample) is sample


# All


@pytest.mark.parametrize(
    "view",
    [
        Marked(),
        BoxesInText(),
        DepthAsImage(),
        RotatedChoices(1),
        AsMultipleChoice(),
        Blind(),
        Grayscale(),
        Mirrored(),
        NoisyDepth(2.0),
        DroppedDepth(0.5),
        SwappedOrder(),
        Paraphrased(),
    ],
)
def test_views_pickle_and_open_nothing(view: View) -> None:
    image = StubImage()
    assert pickle.loads(pickle.dumps(view)) == view
    seen = view(warehouse(image=image, depth=image))
    assert image.opened == []
    assert pickle.loads(pickle.dumps(seen)) == seen
    assert type(view).__module__.startswith("datamodules.views.")


VIEWS = {
    "AsMultipleChoice": AsMultipleChoice(),
    "Blind": Blind(),
    "BoxesInText": BoxesInText(),
    "DepthAsImage": DepthAsImage(),
    "DroppedDepth": DroppedDepth(0.5),
    "Grayscale": Grayscale(),
    "Marked": Marked(),
    "Mirrored": Mirrored(),
    "NoDepth": NoDepth(),
    "NoisyDepth": NoisyDepth(2.0),
    "Paraphrased": Paraphrased(),
    "RotatedChoices": RotatedChoices(1),
    "ShuffledRegions": ShuffledRegions(),
    "SwappedOrder": SwappedOrder(),
    "Blurred": Blurred(1),
    "Compressed": Compressed(30),
    "LowLight": LowLight(2),
    "NoisyImages": NoisyImages(10),
    "OtherPicture": OtherPicture.among([warehouse(), warehouse(id="b-1", group="b")]),
    "PlainGray": PlainGray(),
}
"""One of each view there is."""


@dataclass(frozen=True)
class Shouted(View):
    """A view of one's own, which knows nothing of a benchmark's words."""

    def __call__(self, sample: SpatialSample) -> SpatialSample:
        return sample.replace(question=sample.question.upper())


def in_own_words() -> list[SpatialSample]:
    """Questions of every form, each with its benchmark's own words."""
    return [
        warehouse(prompt="own words"),
        warehouse(prompt="own words", question="How many?", answer="3", answer_type=AnswerType.COUNT),
        warehouse(prompt="own words", question="How far apart are <mask> and <mask>?"),
        warehouse(
            prompt="own words",
            question="Which is nearer: [Region 0] (box 1 2 3 4) or the door?",
            choices=("the shelf", "the door", "the wall"),
            answer="B",
            answer_type=AnswerType.LETTER,
        ),
    ]


def test_every_view_is_tried() -> None:
    made = [kind for kind in vars(views).values() if isinstance(kind, type) and issubclass(kind, View)]
    assert set(VIEWS) == {kind.__name__ for kind in made} - {"View"}


@pytest.mark.parametrize("view", [*VIEWS.values(), Shouted()], ids=[*VIEWS, "one's own"])
def test_a_changed_question_is_no_longer_in_the_benchmarks_own_words(view: View) -> None:
    """What the words say stays true as long as question and choices do."""
    for sample in in_own_words():
        try:
            seen = view(sample)
        except NotApplicable:
            continue
        changed = (seen.question, seen.choices) != (sample.question, sample.choices)
        assert seen.prompt == ("" if changed else "own words")


@pytest.mark.parametrize(
    "view",
    ["AsMultipleChoice", "Blind", "BoxesInText", "DepthAsImage", "Marked", "Mirrored", "Paraphrased"],
)
def test_views_of_the_question_change_one_of_these(view: str) -> None:
    assert any(VIEWS[view](sample).prompt == "" for sample in in_own_words())
    assert RotatedChoices(1)(in_own_words()[3]).prompt == ""
