from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.samples import AnswerType
from lightning_modules.tiny_giant.vocabulary import (
    END,
    NUMBER,
    UNKNOWN,
    NumberForm,
    Vocabulary,
    VocabularyError,
    format_distance,
)

SENTENCE = "The pallet [Region 0] is 2.32 meters away from the pallet [Region 11]."


def built(numbers: NumberForm = "value", texts: Sequence[str] = (SENTENCE,), size: int = 64) -> Vocabulary:
    vocabulary = Vocabulary(size, numbers)
    vocabulary.build(texts)
    return vocabulary


@pytest.mark.parametrize("numbers", ["value", "digits"])
def test_a_sentence_comes_back_in_lower_case_with_its_regions_and_numbers(numbers: NumberForm) -> None:
    vocabulary = built(numbers)
    encoded = vocabulary.encode(SENTENCE)
    assert UNKNOWN not in encoded.tokens
    text = vocabulary.decode([*encoded.tokens, END, 7], [*encoded.values, 0, 0])
    assert text == "the pallet [Region 0] is 2.32 meters away from the pallet [Region 11]."


@pytest.mark.parametrize("numbers", ["value", "digits"])
@pytest.mark.parametrize(
    ("answer_type", "answer"),
    [
        (AnswerType.REGION, "13"),
        (AnswerType.SIDE, "left"),
        (AnswerType.COUNT, "12"),
        (AnswerType.DISTANCE, "10.04"),
    ],
)
def test_a_normalised_answer_comes_back_as_the_benchmark_writes_it(
    numbers: NumberForm, answer_type: AnswerType, answer: str
) -> None:
    vocabulary = built(numbers)
    encoded = vocabulary.encode(answer, answer_type)
    assert vocabulary.decode(encoded.tokens, encoded.values) == answer


def test_a_region_is_a_pointer_and_a_distance_is_a_value() -> None:
    vocabulary = built()
    assert vocabulary.encode("3", AnswerType.REGION).tokens == [vocabulary.size + 3]
    distance = vocabulary.encode("7", AnswerType.DISTANCE)
    assert (distance.tokens, distance.values) == ([NUMBER], [7.0])


@given(st.lists(st.floats(0.05, 99.0), max_size=4), st.lists(st.integers(0, 30), max_size=4))
def test_numbers_and_regions_survive_in_any_mixture(distances: list[float], regions: list[int]) -> None:
    vocabulary = built(texts=["and"])
    words = [format_distance(value) for value in distances] + [f"[Region {i}]" for i in regions]
    text = " and ".join(words)
    encoded = vocabulary.encode(text)
    expected = str(regions[0]) if not distances and len(regions) == 1 else text
    assert vocabulary.decode(encoded.tokens, encoded.values) == expected


def test_a_length_in_words_is_written_in_words() -> None:
    vocabulary = built(texts=("about 2-3 feet",))
    encoded = vocabulary.encode("about 2-3 feet", AnswerType.DISTANCE)
    assert NUMBER not in encoded.tokens
    assert vocabulary.decode(encoded.tokens, encoded.values) == "about 2 - 3 feet"


def test_the_most_frequent_words_are_kept_and_others_are_unknown() -> None:
    vocabulary = built(texts=["rare", *["common words"] * 3], size=len(built(texts=()).words) + 2)
    assert vocabulary.words[-2:] == ["common", "words"]
    assert vocabulary.encode("rare").tokens == [UNKNOWN]


def test_an_untrained_vocabulary_and_a_foreign_list_are_refused() -> None:
    with pytest.raises(VocabularyError, match="no words yet"):
        Vocabulary().encode("a")
    with pytest.raises(VocabularyError, match="does not fit"):
        Vocabulary().load(["a", "b"])
    with pytest.raises(VocabularyError, match="does not fit"):
        Vocabulary(size=32).load([*built().words, *map(str, range(100))])


def test_a_distance_closer_than_five_centimetres_is_zero() -> None:
    assert [format_distance(value) for value in (0.0, 0.049, 0.051, 12.345)] == ["0", "0", "0.05", "12.35"]
