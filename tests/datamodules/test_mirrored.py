"""The view in a mirror: texts, masks, images and answers flip together, and twice is none."""

import json
import pickle
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from datamodules.ai_city_track3 import AiCityTrack3
from datamodules.loading.batching import BatchRequest, ImageRequest
from datamodules.loading.image_loading import ImageLoading
from datamodules.loading.kept_images import KeptImages
from datamodules.loading.listed_questions import ListedQuestions
from datamodules.samples import (
    AnswerType,
    DataError,
    ImageFile,
    KeptImage,
    OpenedImage,
    Region,
    SpatialSample,
    open_depth,
    open_rgb,
)
from datamodules.views import AsMultipleChoice, BoxesInText, DepthAsImage, Marked, Mirrored, View
from datamodules.views import mirrored as mirrored_module
from datamodules.views.mirrored import mirrored_answer
from datamodules.views.mirrored_texts import UnknownDirection, mirrored_text
from tests.helpers.small_tiny_giant import collator_for

WORDS = yaml.safe_load(Path(mirrored_module.__file__).with_name("mirrored_words.yaml").read_text("utf-8"))
CONTEXTS = ("parts", "before a side", "whole texts of sides")
"""Lists of the file that say where words stand; they share words with others."""

WIDTH, HEIGHT = 37, 20


def picture(seed: int, channels: int) -> np.ndarray:
    shape = (HEIGHT, WIDTH, 3) if channels == 3 else (HEIGHT, WIDTH)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def region(seed: int) -> Region:
    return Region.from_mask(np.random.default_rng(seed).random((HEIGHT, WIDTH)) < 0.3)


def asked(**changes: Any) -> SpatialSample:
    return SpatialSample(
        id="q-7",
        question="Is the pallet <mask> on the left-hand side of the LEFTMOST pallet <mask>?",
        image=OpenedImage("a", Image.fromarray(picture(0, 3))),
        depth=OpenedImage("a_depth", Image.fromarray(picture(1, 1))),
        regions=(region(2), region(3)),
        answer="left",
        answer_type=AnswerType.SIDE,
        rationale="Left: the pallet [Region 0] is to the left of [Region 1].",
        task="left_right",
        group="a",
    ).replace(**changes)


@pytest.mark.parametrize(
    ("text", "flipped"),
    [
        ("Is it left of the shelf?", "Is it right of the shelf?"),
        ("Left or right? RIGHTMOST, Leftmost", "Right or left? LEFTMOST, Rightmost"),
        ("the right-hand side; right-most (lefthand)", "the left-hand side; left-most (righthand)"),
        ("from left to right, leftwards", "from right to left, rightwards"),
        ("the shelf's left, left_1", "the shelf's right, right_1"),
        (
            "the pallet is left of it, and they are left of it",
            "the pallet is right of it, and they are right of it",
        ),
        ("the pallet on the right behind the shelf", "the pallet on the left behind the shelf"),
        ("how far is the pallet on the left away from it", "how far is the pallet on the right away from it"),
        ("a right angle on the right", "a right angle on the left"),
        ("on his left in 4 s, the upper right at 1 m/s", "on his right in 4 s, the upper left at 1 m/s"),
        ("right up", "left up"),
        ("it stands just left of it", "it stands just right of it"),
        ("counting from left to right in the row", "counting from right to left in the row"),
        ("Clockwise, not COUNTERCLOCKWISE", "Counterclockwise, not CLOCKWISE"),
        ("clockwise or anticlockwise?", "anticlockwise or clockwise?"),
        ("at 12 o'clock, at 1 o'clock and at 3 o'clock", "at 12 o'clock, at 11 o'clock and at 9 o'clock"),
        ("the clock at 6 o\u2019clock, at 10 o'clock", "the clock at 6 o\u2019clock, at 2 o'clock"),
        ("All right: the bright, upright box on the left", "All right: the bright, upright box on the right"),
        (
            "the nearest 2 of 3, 4.52 meters, above [Region 1]",
            "the nearest 2 of 3, 4.52 meters, above [Region 1]",
        ),
        ("  spaces\nstay ", "  spaces\nstay "),
        ("", ""),
    ],
)
def test_sides_and_extremes_flip_and_all_else_stays(text: str, flipped: str) -> None:
    assert mirrored_text(text) == flipped
    assert mirrored_text(flipped) == text


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Which pallet comes next anticlockwise?", "anticlockwise"),
        ("Turn it counter-clockwise.", "counter clockwise"),
        ("the shelf to the East", "east"),
        ("on the starboard side", "starboard"),
        ("its sinister end", "sinister"),
        ("at 13 o'clock", "o clock"),
        ("at 2 or 3 o'clock", "o clock"),
        ("at 3 o'clock in the morning", "o clock in the morning"),
        ("the one in the theleft corner", "theleft"),
        ("the LeftMost pallet", "LeftMost"),
        ("a left-handed driver", "handed"),
        ("the driver's side", "driver s side"),
        ("How many pallets are left?", "are left"),
        ("How many pallets are left in the zone?", "are left"),
        ("the one it was left behind with", "was left"),
        ("a thing left behind", "left behind"),
        ("it stands right behind the shelf", "right behind"),
        ("give the right answer", "right answer"),
        ("It is a pallet, right?", ", right ?"),
        ("at a left angle", "left angle"),
        ("the L of the two", "l"),
    ],
)
def test_a_word_that_nobody_has_thought_of_is_refused_with_the_question(text: str, word: str) -> None:
    with pytest.raises(UnknownDirection) as said:
        mirrored_text(text)
    assert said.value.word == word
    for changes in ({"question": text}, {"rationale": text}, {"choices": ("a", text)}):
        with pytest.raises(DataError, match=r"'q-7'.*mirrored_words\.yaml") as refused:
            Mirrored()(asked(**changes))
        assert repr(word) in str(refused.value)


def test_no_word_stands_in_two_lists() -> None:
    pairs, *lists = (phrases for name, phrases in WORDS.items() if name not in CONTEXTS)
    listed = [*pairs, *pairs.values()] + [phrase for phrases in lists for phrase in phrases]
    assert len(listed) == len(set(listed))
    assert all(phrase == phrase.lower() for phrase in listed)


SOME_WORDS = st.sampled_from(
    [
        *WORDS["pairs"],
        *WORDS["pairs"].values(),
        *(
            word
            for name, phrases in WORDS.items()
            if name != "pairs"
            for text in phrases
            for word in text.split()
        ),
        *(
            "the",
            "of",
            "pallet",
            "<mask>",
            "4",
            "is",
            "and",
            "\u017fright",
            "\u0130",
            "r\u0131ght",
            "[Region 0]",
        ),
    ]
)
TEXTS = st.lists(
    st.tuples(
        SOME_WORDS.flatmap(lambda word: st.sampled_from([word, word.title(), word.upper()])),
        st.sampled_from([" ", "-", ", ", "? ", "'", "_", "\n", ""]),
    ),
    max_size=8,
).map(lambda parts: "".join(word + between for word, between in parts))


@given(st.one_of(TEXTS, st.text(max_size=40)))
def test_a_text_mirrored_twice_is_what_it_was_or_is_refused_both_times(text: str) -> None:
    try:
        once = mirrored_text(text)
    except UnknownDirection:
        return
    assert mirrored_text(once) == text


@given(
    TEXTS,
    arrays.arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))),
    st.sampled_from([("left", AnswerType.SIDE), ("1", AnswerType.REGION), ("2.5", AnswerType.DISTANCE)]),
)
def test_a_sample_mirrored_twice_is_what_it_was(
    text: str, mask: np.ndarray, answer: tuple[str, AnswerType]
) -> None:
    sample = asked(
        question=text,
        rationale=text,
        regions=(Region.from_mask(mask),),
        answer=answer[0],
        answer_type=answer[1],
    )
    try:
        once = Mirrored()(sample)
    except DataError:
        return
    assert np.array_equal(once.regions[0].mask(), np.fliplr(mask))
    assert Mirrored()(once) == sample


def test_image_depth_regions_and_texts_are_mirrored_together() -> None:
    sample = asked()
    seen = Mirrored()(sample)
    assert seen.question == "Is the pallet <mask> on the right-hand side of the RIGHTMOST pallet <mask>?"
    assert seen.rationale == "Right: the pallet [Region 0] is to the right of [Region 1]."
    assert (seen.id, seen.group, seen.task, seen.answer) == ("q-7", "a", "left_right", "right")
    assert seen.image is not None and seen.depth is not None
    assert np.array_equal(np.asarray(open_rgb(seen.image)), picture(0, 3)[:, ::-1])
    assert np.array_equal(np.asarray(open_depth(seen.depth)), picture(1, 1)[:, ::-1])
    for before, after in zip(sample.regions, seen.regions, strict=True):
        assert np.array_equal(after.mask(), before.mask()[:, ::-1])
    assert pickle.loads(pickle.dumps(Mirrored())) == Mirrored()


@pytest.mark.parametrize(
    ("answer", "answer_type", "flipped"),
    [
        ("left", AnswerType.SIDE, "right"),
        ("Right", AnswerType.SIDE, "Left"),
        ("on the left", AnswerType.TEXT, "on the right"),
        ("3", AnswerType.REGION, "3"),
        ("3", AnswerType.COUNT, "3"),
        ("3.25", AnswerType.DISTANCE, "3.25"),
        ("L", AnswerType.LETTER, "L"),
        ("right", None, "left"),
    ],
)
def test_sides_flip_and_counts_distances_and_numbers_of_regions_stay(
    answer: str, answer_type: AnswerType | None, flipped: str
) -> None:
    assert mirrored_answer(answer, answer_type) == flipped
    assert mirrored_answer(flipped, answer_type) == answer


def test_an_unknown_answer_stays_unknown_and_examples_flip_as_well() -> None:
    seen = Mirrored()(asked(answer=None, examples=(asked(id="q-8"),), image=None, depth=None))
    assert (seen.answer, seen.image, seen.depth) == (None, None, None)
    assert seen.examples[0].answer == "right"
    assert seen.examples[0].regions == seen.regions


def test_sides_to_choose_from_stay_and_the_letter_moves() -> None:
    asked_with_letters = AsMultipleChoice()(asked())
    seen = Mirrored()(asked_with_letters)
    assert sorted(seen.choices) == ["left", "right"] and seen.choices == asked_with_letters.choices
    assert {seen.answer, asked_with_letters.answer} == {"A", "B"}
    assert Mirrored()(seen) == asked_with_letters


def test_marks_come_after_the_mirror() -> None:
    with pytest.raises(DataError, match=r"'q-7'.*before `Marked`"):
        Mirrored()(Marked()(asked()))
    assert Marked()(Mirrored()(asked())).question.count("[Region") == 2


@given(arrays.arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12)), fill=st.just(False)))
def test_boxes_that_were_written_before_are_those_of_the_mirrored_regions(mask: np.ndarray) -> None:
    sample = asked(regions=(Region.from_mask(mask | (np.eye(*mask.shape) > 0)), region(3)))
    boxed = BoxesInText()(sample)
    assert Mirrored()(boxed).question == BoxesInText()(Mirrored()(sample)).question
    assert Mirrored()(Mirrored()(boxed)) == boxed


def test_depth_that_is_shown_as_an_image_is_mirrored_whatever_came_first() -> None:
    first, last = Mirrored()(DepthAsImage()(asked())), DepthAsImage()(Mirrored()(asked()))
    for seen in (first, last):
        pixels = np.asarray(open_rgb(seen.further_images[0]))
        assert np.array_equal(pixels[..., 0], picture(1, 1)[:, ::-1])


def test_a_mirrored_image_is_not_taken_for_the_plain_one_that_is_kept(tmp_path: Path) -> None:
    """Before and after the plain one has been kept, and the other way round."""
    Image.fromarray(picture(0, 3)).save(tmp_path / "a.png")
    Image.fromarray(picture(1, 1)).save(tmp_path / "a_depth.png")
    sample = asked(image=ImageFile(tmp_path / "a.png"), depth=ImageFile(tmp_path / "a_depth.png"))
    collator = collator_for()
    kept = KeptImages(collator, 10**9, folder=tmp_path / "kept")
    request = BatchRequest((ImageRequest(0, (0,)),))

    def loaded(*views: View) -> SpatialSample:
        return ImageLoading(ListedQuestions.grouped([sample]), views, kept=kept)[request].opened[0]

    for views in ((Mirrored(),), (), (Mirrored(),), ()):
        assert isinstance(loaded(*views).image, KeptImage)
        batch = collator([loaded(*views)])
        alone = ImageLoading(ListedQuestions.grouped([sample]), views)[request].opened[0]
        expected = collator([alone])
        for name in ("rgb", "depth", "masks", "region_features", "relations"):
            assert batch[name].equal(expected[name]), (views, name)
    assert len([*(tmp_path / "kept").rglob("*.safetensors")]) == 2
    loaded(Mirrored(), Mirrored())  # which is the plain one
    assert len([*(tmp_path / "kept").rglob("*.safetensors")]) == 2
    plain, mirrored = collator([loaded()]), collator([loaded(Mirrored())])
    assert plain["rgb"].flip(-1).sub(mirrored["rgb"]).abs().float().mean() < 2
    assert not plain["rgb"].equal(mirrored["rgb"])


def test_rendered_questions_are_all_known_and_stay_true(tmp_path: Path) -> None:
    """Sides and outermost regions are told from the masks, without the texts' own rules."""
    data = AiCityTrack3(
        difficulty="real",
        scenes={"train": 6, "val": 1, "test": 1},
        cache=str(tmp_path),
        num_workers=0,
        size=(224, 128),
    )
    data.prepare_data()
    split = data.split("train")
    seen = [
        (sample, Mirrored()(sample))
        for group, size in enumerate(split.group_sizes())
        for sample in split.samples(group, range(int(size)))
    ]
    sides = [(before, after) for before, after in seen if before.answer_type is AnswerType.SIDE]
    assert len(sides) > 2 and len(seen) > 20
    for before, after in seen:
        assert Mirrored()(after) == before
        assert (before.answer != after.answer) == (before.answer_type is AnswerType.SIDE)
    for _, after in sides:
        first, second = (np.nonzero(each.mask())[1].mean() for each in after.regions[:2])
        assert after.answer == ("left" if first < second else "right")


def test_real_questions_are_known_and_their_masks_flip(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "ai_city_track3"
    for name in ("val.json", "train_records.json"):
        for record in json.loads((folder / name).read_text()):
            text = record["conversations"][0]["value"] + record["freeform_answer"]
            assert mirrored_text(mirrored_text(text)) == text
            assert (mirrored_text(text) != text) == ("left" in text or "right" in text)
    real = AiCityTrack3(root=str(folder), splits={"test": "val"}, cache=str(tmp_path), num_workers=0)
    side, extreme = (real.split("test").samples(group, [0])[0] for group in (0, 1))
    assert (side.answer_type, extreme.answer_type) == (AnswerType.SIDE, AnswerType.REGION)
    assert (Mirrored()(side).answer, side.answer) == ("right", "left")
    seen = Mirrored()(extreme)
    assert "the rightmost?" in seen.question and seen.answer == extreme.answer
    centres = [np.nonzero(each.mask())[1].mean() for each in seen.regions]
    assert int(np.argmax(centres)) == int(seen.answer or "")
    assert seen.image is not None and extreme.image is not None
    assert np.array_equal(np.asarray(seen.image.open()), np.asarray(extreme.image.open())[:, ::-1])


def test_training_images_are_seen_in_a_mirror_as_well(tmp_path: Path) -> None:
    """Each once in an epoch, as it is and in the mirror; validation and test as they are."""

    def data(mirrored: bool) -> AiCityTrack3:
        made = AiCityTrack3(
            difficulty="real",
            mirrored=mirrored,
            scenes={"train": 5, "val": 2, "test": 2},
            cache=str(tmp_path),
            num_workers=0,
            batch_size=2,
        )
        made.prepare_data()
        return made

    plain, both = data(False), data(True)

    def seen(loader: Iterable[Any]) -> Counter[SpatialSample]:
        return Counter(sample for batch in loader for sample in batch["samples"])

    once, twice = seen(plain.train_dataloader()), seen(both.train_dataloader())
    assert twice == once + Counter(Mirrored()(sample) for sample in once)
    for loaders in ("val_dataloader", "test_dataloader"):
        assert seen(getattr(plain, loaders)()) == seen(getattr(both, loaders)())
    training, _ = both.training_images()
    assert training.lengths().tolist() == 2 * plain.training_images()[0].lengths().tolist()


def test_a_curriculum_in_a_mirror_is_refused() -> None:
    data = AiCityTrack3(mirrored=True, curriculum=[["count"]])
    with pytest.raises(DataError, match="`mirrored` and `curriculum`"):
        data.training_images()


@pytest.mark.parametrize(
    "text",
    [
        "Is it NE of the door?",
        "Turn CW or CCW?",
        "The box is [10, 20, 30, 40].",
        "It is at (12.5, 30) in the picture.",
        "Turn the camera by -90 degrees.",
        "Turn by \u221230 degrees, or +30?",
        "Is it in the first quadrant?",
    ],
)
def test_places_and_turns_in_other_forms_are_refused(text: str) -> None:
    with pytest.raises(UnknownDirection):
        mirrored_text(text)


@pytest.mark.parametrize(
    "text", ["2-3 pallets", "A-4 paper, 10 - 20 metres", "(a) 5, (b) 6", "[Region 0], [Region 1]"]
)
def test_other_numbers_stay(text: str) -> None:
    assert mirrored_text(text) == text
