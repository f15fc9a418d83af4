"""The audits there are: what each asks, and through which views all questions are asked again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from datamodules.samples import AnswerType, SmallSpatialError, SpatialSample
from datamodules.views import (
    Blind,
    Blurred,
    Compressed,
    Grayscale,
    LowLight,
    Mirrored,
    NoDepth,
    NoisyImages,
    OtherPicture,
    Paraphrased,
    PlainGray,
    RotatedChoices,
    ShuffledRegions,
    SwappedOrder,
    View,
)
from datamodules.views.rotated_choices import mentions_choices

Expectation = Literal["stays", "falls"]
"""What becomes of the score of a model that understands: it stays, or falls to what words give away."""


class AuditError(SmallSpatialError):
    """A checkpoint cannot be audited as asked."""


@dataclass(frozen=True)
class Pass:
    """All questions of the test asked once.

    What the view cannot be used on, it says itself (`NotApplicable`).

    Attributes:
        name: of its folder.
        said: what is changed, in a few words.
        view: makes the view that changes it, from all samples of the test; None where none does.
        last: whether the view comes behind the run's own views, and not before them.
        left_out: why a question, as the run asked it, is not to be asked; "" where it is.
        images_a_batch: how many images are asked about at once, where it is not as many as in the run.
        endings: the last line of a vision-language model's prompt, by the answer's form.
        examples: what is otherwise in the run's own view `InContext`, by the names of its arguments.
    """

    name: str
    said: str
    view: Callable[[Sequence[SpatialSample]], View] | None = None
    last: bool = False
    left_out: Callable[[SpatialSample], str] = lambda sample: ""
    images_a_batch: int | None = None
    endings: Mapping[str, str] | None = None
    examples: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Audit:
    """One way to tell whether a model understands.

    Attributes:
        name: what it is called on the command line.
        question: what it asks.
        expects: what becomes of the score of a model that understands.
        passes: the ways in which the questions are asked again; none where those of another audit tell.
        why: why an answer that changes means something, or does not.
    """

    name: str
    question: str
    expects: Expectation
    passes: tuple[Pass, ...]
    why: str


def fixed(view: View) -> Callable[[Sequence[SpatialSample]], View]:
    """Always the same view, whatever the samples."""
    return lambda samples: view


def not_rotated(sample: SpatialSample, shift: int) -> str:
    """Why the choices of a question are not moved up by so many places; "" where they are."""
    if len(sample.choices) <= shift:
        return "there are too few choices to move"
    return "choices speak of letters or of other choices" if mentions_choices(sample) else ""


UNCHANGED = Pass("unchanged", "nothing")
"""What every other pass is compared with."""

MOST_ROTATIONS = 5

GRAYSCALE = Pass("grayscale", "no colours", fixed(Grayscale()))

WORDINGS: tuple[dict[str, str], ...] = (
    {
        AnswerType.LETTER: "Reply with the letter of the correct option.",
        AnswerType.REGION: "Reply with the number of the correct region.",
        AnswerType.SIDE: "Reply with left or right.",
        AnswerType.COUNT: "Reply with a number.",
        AnswerType.DISTANCE: "Reply with the distance.",
    },
    {
        AnswerType.LETTER: "Which option is correct? Give its letter only.",
        AnswerType.REGION: "Which region is correct? Give its number only.",
        AnswerType.SIDE: "Is it left or right? Give one word only.",
        AnswerType.COUNT: "How many is it? Give the number only.",
        AnswerType.DISTANCE: "How far is it? Give the distance only.",
    },
    {
        AnswerType.LETTER: "Choose one option and write down its letter.",
        AnswerType.REGION: "Choose one region and write down its number.",
        AnswerType.SIDE: "Write down left or right.",
        AnswerType.COUNT: "Write down the number.",
        AnswerType.DISTANCE: "Write down the distance.",
    },
)
"""Other words for `prompt_template.ENDINGS`."""

AUDITS = (
    Audit(
        "identity",
        "Does the model answer the same question in the same way twice?",
        "stays",
        (UNCHANGED, Pass("one_image_a_batch", "one image a batch", images_a_batch=1)),
        "Nothing is changed, so no answer may: what does is noise of batches, padding or the machine.",
    ),
    Audit(
        "blindfolded",
        "What is left without looking?",
        "falls",
        (
            Pass("no_picture", "no picture", fixed(Blind())),
            Pass("plain_gray", "plain gray pictures", fixed(PlainGray())),
            Pass("other_picture", "another question's picture", OtherPicture.among),
        ),
        "The same weights without the picture, not a model trained blind: what they keep, words give away. "
        "A model that has never seen a question without its picture may fall below that.",
    ),
    Audit(
        "grayscale",
        "Does it need the colours?",
        "stays",
        (GRAYSCALE,),
        "Geometry has no colour. Questions that name one do: see the audit `colour`.",
    ),
    Audit(
        "colour",
        "Does it need the colours where no question names one?",
        "stays",
        (),
        "The questions whose words name no colour, by a list of words.",
    ),
    Audit(
        "mirrored",
        "Does it answer the mirror image with the mirrored answer?",
        "stays",
        (Pass("mirrored", "everything in a mirror", fixed(Mirrored())),),
        "Left becomes right in picture, question and truth; all else stays.",
    ),
    Audit(
        "rotated_choices",
        "Does it choose what is right, or where it stands?",
        "stays",
        tuple(
            Pass(
                f"rotated_{shift}",
                f"choices moved up by {shift}",
                fixed(RotatedChoices(shift)),
                last=True,
                left_out=partial(not_rotated, shift=shift),
            )
            for shift in range(1, MOST_ROTATIONS + 1)
        ),
        "The choices stand in another order, and mean the same.",
    ),
    Audit(
        "swapped_order",
        "Does it matter which of two things is named first?",
        "stays",
        (Pass("swapped_order", "two things in the other order", fixed(SwappedOrder())),),
        "What is true of two things does not depend on which is named first.",
    ),
    Audit(
        "no_depth",
        "Does it use the depth?",
        "falls",
        (Pass("no_depth", "no depth", fixed(NoDepth())),),
        "A loss is no fault: it tells how much of the score comes from the depth.",
    ),
    Audit(
        "shuffled_regions",
        "Does it matter in which order regions are listed?",
        "stays",
        (Pass("shuffled_regions", "regions in another order", fixed(ShuffledRegions())),),
        "The same regions under other numbers: the number of the right one follows.",
    ),
    Audit(
        "spoilt",
        "How much does it take of what cameras do to pictures?",
        "stays",
        (
            Pass("blur_1", "blur of 1 px", fixed(Blurred(1))),
            Pass("blur_3", "blur of 3 px", fixed(Blurred(3))),
            Pass("noise_10", "noise of 10 steps", fixed(NoisyImages(10))),
            Pass("noise_30", "noise of 30 steps", fixed(NoisyImages(30))),
            Pass("low_light_2", "low light, gamma 2", fixed(LowLight(2))),
            Pass("low_light_4", "low light, gamma 4", fixed(LowLight(4))),
            Pass("jpeg_30", "JPEG of quality 30", fixed(Compressed(30))),
            Pass("jpeg_10", "JPEG of quality 10", fixed(Compressed(10))),
        ),
        "In pixels and steps of the stored picture, before the model resizes it. Depth stays as it is.",
    ),
    Audit(
        "paraphrased",
        "Does it understand the same question in other words?",
        "stays",
        (Pass("paraphrased", "another wording", fixed(Paraphrased())),),
        "Choices, numbers, sides and the order of regions stay.",
    ),
    Audit(
        "instruction",
        "Does the last line of the prompt matter?",
        "stays",
        tuple(
            Pass(f"wording_{number}", f"wording {number} of the last line", endings=words)
            for number, words in enumerate(WORDINGS, 1)
        ),
        "What is asked for is the same in all wordings; of choices "
        + ", ".join(f"({number}) {words[AnswerType.LETTER]}" for number, words in enumerate(WORDINGS, 1)),
    ),
    Audit(
        "examples",
        "Does it use the solved examples before a question?",
        "falls",
        (
            Pass("no_examples", "no examples", examples={"k": 0}),
            Pass("random_examples", "examples that chance chooses", examples={"chosen": "random"}),
            Pass("fixed_examples", "the same examples for all questions", examples={"chosen": "fixed"}),
            Pass("shuffled_answers", "shuffled answers of the examples", examples={"answers": "shuffled"}),
            Pass("examples_in_gray", "examples with plain gray pictures", examples={"images": "gray"}),
            Pass("examples_without_pictures", "examples without pictures", examples={"images": "none"}),
        ),
        "What a model learns from examples it loses with them; what it loses with their answers, it read "
        "there. Where it answers as the last example is answered more often than that is right, it copies.",
    ),
    Audit(
        "height_for_distance",
        "Does it take what is higher in the picture for what is farther away?",
        "stays",
        (),
        "Where height tells the truth (consistent), where it lies (counter), and where it does not tell "
        "(ambiguous). The rule itself is a predictor of its own.",
    ),
)
"""All audits, in the order in which they are made."""

FAMILY = ("grayscale", "mirrored", "rotated_1", "swapped_order", "shuffled_regions", "paraphrased")
"""The passes that are tested together, named beforehand: their p-values are adjusted for each other."""

MARGIN = 2.0
"""Points that a model may lose where it is said to lose nothing: the whole interval has to lie above."""


def audits_named(names: Sequence[str]) -> list[Audit]:
    """Some audits, or all where none is named, in the order in which they are made.

    Raises:
        AuditError: there is no such audit.
    """
    known = {audit.name: audit for audit in AUDITS}
    for name in names:
        if name not in known:
            raise AuditError(f"There is no audit {name!r}. There are {', '.join(known)}.")
    return [audit for audit in AUDITS if not names or audit.name in names]
