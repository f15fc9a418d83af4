"""Audits expose models that guess, clear one that knows, and say what could not be asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torchmetrics import MeanMetric

from datamodules.samples import AnswerType, ImageFile, SpatialSample
from datamodules.scoring.choice_metrics import CvBenchMetric
from experiments.audits.asking import Questioner
from experiments.audits.auditing import Auditing, Result
from experiments.audits.page import write_page
from experiments.audits.passes import audits_named
from experiments.run_folders.run_folder import RunFolder
from lightning_modules.vlm.prompt_template import ENDINGS, Prompt
from tests.helpers.cheats import (
    Cheat,
    Knows,
    PrefersAPosition,
    ReadsTheQuestion,
    TakesHeightForDistance,
    TakesTheLast,
)
from tests.helpers.listed_data import ListedData

IMAGES = 60
KINDS = ("chair", "lamp", "table", "sofa", "shelf", "plant")


class Rooms(ListedData):
    """Questions of CV-Bench about small pictures."""

    def metric(self, stage: str = "test") -> CvBenchMetric:  # type: ignore[override]
        return CvBenchMetric()


def questions(folder: Path, images: int = IMAGES) -> list[SpatialSample]:
    """Two questions an image: one with two choices, one with four."""
    random = np.random.default_rng(0)
    samples = []
    for number in range(images):
        file = folder / f"{number}.png"
        Image.fromarray(random.integers(140, 256, (24, 32, 3), dtype=np.uint8)).save(file)
        first, second = random.choice(KINDS, 2, replace=False)
        common: dict[str, Any] = {
            "image": ImageFile(file),
            "answer_type": AnswerType.LETTER,
            "group": file.name,
            "source": "ADE20K",
        }
        samples.append(
            SpatialSample(
                id=f"{number}-relation",
                question=f"Considering the relative positions of the {first} and the {second} in the image "
                f"provided, where is the {first} located with respect to the {second}?",
                choices=("left", "right"),
                answer="AB"[random.integers(2)],
                task="Relation",
                **common,
            )
        )
        samples.append(
            SpatialSample(
                id=f"{number}-count",
                question=f"How many {first}s are in the image?",
                choices=tuple(map(str, random.permutation(4))),
                answer="ABCD"[random.integers(4)],
                task="Count",
                **common,
            )
        )
    return samples


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> list[SpatialSample]:
    return questions(tmp_path_factory.mktemp("rooms"))


TRAINER = {"accelerator": "cpu", "devices": 1}


def audit(
    model: Cheat,
    samples: list[SpatialSample],
    folder: Path,
    *names: str,
    identity: str = "a model",
    data: ListedData | None = None,
) -> Result:
    questioner = Questioner(model, data or Rooms(samples), folder / "audit", identity, TRAINER)
    card = {"name": "a cheat", "facts": {}, "score": "", "card": {}}
    said: list[str] = []
    result = Auditing(questioner, RunFolder(folder), card).audit(audits_named(names), said=said.append)
    page = write_page(folder / "audit", result).read_text()
    assert all(name in page for name in result["audits"])
    return result


def test_who_knows_stands_every_change(asked: list[SpatialSample], tmp_path: Path) -> None:
    result = audit(Knows(), asked, tmp_path, "mirrored", "rotated_choices", "blindfolded", "grayscale")
    audits = result["audits"]
    assert result["base"]["score"] == 100
    turned = audits["rotated_choices"]["rotations"]
    assert turned["plain"]["score"] == turned["mean"]["score"] == turned["strict"]["score"] == 100
    assert turned["n"] == len(asked)
    by_shift = audits["rotated_choices"]["passes"]
    assert [row["n"] for row in by_shift.values()] == [120, 60, 60]
    assert by_shift["rotated_2"]["left_out"] == {"there are too few choices to move": 60}
    mirrored = audits["mirrored"]["passes"]["mirrored"]
    assert mirrored["difference"] == 0 and mirrored["newly_wrong"] == 0
    blind = audits["blindfolded"]["passes"]
    assert blind["no_picture"]["after"]["score"] == blind["plain_gray"]["after"]["score"] == 0
    assert blind["no_picture"]["above_chance"][0] == 100
    assert blind["other_picture"]["after"]["score"] == 100  # it looks at whether there is something to see
    assert "no difference is shown" in audits["blindfolded"]["findings"][2]


def test_who_reads_the_question_alone_is_as_good_without_pictures(
    asked: list[SpatialSample], tmp_path: Path
) -> None:
    audits = audit(ReadsTheQuestion(), asked, tmp_path, "blindfolded", "rotated_choices")["audits"]
    for row, sentence in zip(
        audits["blindfolded"]["passes"].values(), audits["blindfolded"]["findings"], strict=True
    ):
        assert row["difference"] == 0 and row["answers_changed"] == 0
        assert row["changed"] == 1
        assert "nothing shows that it looks" in sentence
    # It holds on to what it says in whatever order: rotating does not expose it, its chance level does.
    turned = audits["rotated_choices"]["rotations"]
    assert turned["plain"]["score"] == turned["strict"]["score"]
    low, high = turned["strict"]["interval"]
    assert low <= turned["chance"]["strict, holding on to a choice"] <= high


@pytest.mark.parametrize("cheat", [PrefersAPosition, TakesTheLast])
def test_who_prefers_a_position_is_never_right_in_all_rotations(
    cheat: type[Cheat], asked: list[SpatialSample], tmp_path: Path
) -> None:
    result = audit(cheat(), asked, tmp_path, "rotated_choices")
    audits = result["audits"]
    turned = audits["rotated_choices"]["rotations"]
    assert turned["n"] == len(asked)
    assert turned["plain"]["score"] == result["base"]["score"] > 20
    assert turned["strict"]["score"] == 0
    assert turned["mean"]["score"] == pytest.approx(turned["chance"]["plain"])
    letters = {"B": 60 * 2 + 60 * 4} if cheat is PrefersAPosition else {"B": 60 * 2, "D": 60 * 4}
    assert turned["letters"] == letters
    assert "0.0 in every rotation" in audits["rotated_choices"]["findings"][0]
    assert "In every rotation of the choices 0.0 % are right" in result["in_short"][-1]


def test_chance_of_all_rotations_is_that_of_their_number(asked: list[SpatialSample], tmp_path: Path) -> None:
    turned = audit(Knows(), asked, tmp_path, "rotated_choices")["audits"]["rotated_choices"]["rotations"]
    assert turned["chance"] == {
        "plain": pytest.approx(100 * (1 / 2 + 1 / 4) / 2),
        "strict, guessing anew": pytest.approx(100 * (1 / 2**2 + 1 / 4**4) / 2),
        "strict, holding on to a choice": pytest.approx(100 * (1 / 2 + 1 / 4) / 2),
        "strict, always one letter": 0,
    }


class Moody(Knows):
    """Answers otherwise where it is asked alone, as batches and padding may have it."""

    def answer(self, batch: Any) -> list[Any]:
        answers = super().answer(batch)
        return [type(each)(each.sample, "A") for each in answers] if len(answers) == 2 else answers


def test_identity_counts_what_changes_although_nothing_did(
    asked: list[SpatialSample], tmp_path: Path
) -> None:
    steady = audit(Knows(), asked, tmp_path / "steady", "identity")["audits"]["identity"]
    assert steady["passes"]["one_image_a_batch"]["answers_changed"] == 0
    assert "none of 120 answers differs" in steady["findings"][0]
    assert "no answers of its own" in steady["error"]
    moody = audit(Moody(), asked, tmp_path / "moody", "identity")["audits"]["identity"]
    wrong = sum(sample.answer != "A" for sample in asked)
    assert moody["passes"]["one_image_a_batch"]["answers_changed"] == wrong
    assert f"{wrong} of 120 answers differ" in moody["findings"][0]


def test_answers_are_taken_up_where_it_stopped(
    asked: list[SpatialSample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit(Knows(), asked, tmp_path, "grayscale")
    before = (tmp_path / "audit" / "grayscale" / "predictions.jsonl").stat().st_mtime_ns
    anew = passes_asked(monkeypatch)
    audit(Knows(), asked, tmp_path, "grayscale", "mirrored")
    assert anew == ["mirrored"]
    assert (tmp_path / "audit" / "grayscale" / "predictions.jsonl").stat().st_mtime_ns == before
    # Another model, or other questions, are asked anew.
    audit(TakesTheLast(), asked, tmp_path, "grayscale", identity="another one")
    assert anew == ["mirrored", "unchanged", "grayscale"]
    audit(TakesTheLast(), asked[:80], tmp_path, "grayscale", identity="another one")
    assert anew[3:] == ["unchanged", "grayscale"]


def test_what_cannot_be_asked_is_said_and_the_rest_is_done(
    asked: list[SpatialSample], tmp_path: Path
) -> None:
    audits = audit(Knows(), asked, tmp_path, "no_depth", "instruction", "shuffled_regions", "grayscale")[
        "audits"
    ]
    assert "nothing is changed (no depth)" in audits["no_depth"]["error"]
    assert "takes no instruction" in audits["instruction"]["error"]
    assert "No question can be asked so" in audits["shuffled_regions"]["error"]
    assert audits["grayscale"]["passes"]["grayscale"]["n"] == len(asked)
    written = json.loads((tmp_path / "audit" / "audit.json").read_text())
    assert written["audits"].keys() == audits.keys()


def test_a_picture_that_is_gone_is_said_and_the_page_is_written(tmp_path: Path) -> None:
    samples = questions(tmp_path, images=20)
    (tmp_path / "7.png").unlink()
    result = audit(Knows(), samples, tmp_path, "blindfolded", "grayscale")
    assert result["base"] is None
    assert "7.png" in result["error"] and "does not exist" in result["error"]
    assert all("7.png" in each["error"] for each in result["audits"].values())
    assert "7.png" in (tmp_path / "audit" / "index.html").read_text()


def depths(folder: Path, lying: float) -> list[SpatialSample]:
    """Which of two things is nearer, of 120 pictures; of a share of them height does not tell the truth."""
    random = np.random.default_rng(1)
    file = folder / "room.png"
    Image.fromarray(np.full((100, 100, 3), 150, np.uint8)).save(file)
    samples = []
    for number in range(120):
        lower, upper = (40.0, 60.0, 60.0, 80.0), (10.0, 20.0, 30.0, 40.0)
        first = bool(random.integers(2))
        truth = first != (random.random() < lying)
        samples.append(
            SpatialSample(
                id=str(number),
                question="Which object is closer to the camera taking this photo, the chair (highlighted by "
                "a red box) or the lamp (highlighted by a blue box)?",
                choices=("chair", "lamp"),
                answer="A" if truth else "B",
                answer_type=AnswerType.LETTER,
                task="Depth",
                source="Omni3D",
                group=str(number),
                image=ImageFile(file),
                boxes=(lower, upper) if first else (upper, lower),
            )
        )
    return samples


def test_who_takes_height_for_distance_is_told_by_the_questions_where_height_lies(tmp_path: Path) -> None:
    samples = depths(tmp_path, lying=0.4)
    cheat = audit(TakesHeightForDistance(), samples, tmp_path / "cheat", "height_for_distance")
    found = cheat["audits"]["height_for_distance"]
    classes = found["height"]["classes"]
    assert classes["consistent"]["score"] == 100 and classes["counter"]["score"] == 0
    assert classes["consistent"]["n"] + classes["counter"]["n"] == found["height"]["rule"]["n"] == 120
    assert found["height"]["rule"]["score"] == cheat["base"]["score"]
    assert "It leans on height: +100.0 points" in found["findings"][0]
    knows = audit(Knows(), samples, tmp_path / "knows", "height_for_distance")["audits"]
    sentence = knows["height_for_distance"]["findings"][0]
    assert "That it leans on height is not shown" in sentence


def test_height_has_nothing_to_say_without_boxes(asked: list[SpatialSample], tmp_path: Path) -> None:
    audits = audit(Knows(), asked, tmp_path, "height_for_distance")["audits"]
    assert "No question asks what is nearer" in audits["height_for_distance"]["error"]


def passes_asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of passes that are asked from now on."""
    names: list[str] = []
    original = Questioner._ask_anew

    def noted(self: Questioner, wanted: Any, *rest: Any) -> None:
        names.append(wanted.name)
        original(self, wanted, *rest)

    monkeypatch.setattr(Questioner, "_ask_anew", noted)
    return names


def test_answers_to_what_is_asked_otherwise_by_now_are_not_taken_up(
    asked: list[SpatialSample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit(Knows(), asked, tmp_path, "grayscale")
    names = passes_asked(monkeypatch)
    for change in (
        {"question": "Where is it?"},
        {"answer": "A"},
        {"choices": ("right", "left")},
    ):
        other = [sample.replace(**change) if sample.task == "Relation" else sample for sample in asked]
        audit(Knows(), other, tmp_path, "grayscale")
        assert names == ["unchanged", "grayscale"], change
        names.clear()
    audit(Knows(), other, tmp_path, "grayscale")
    assert names == []


def test_a_part_of_the_answers_is_not_taken_for_all(
    asked: list[SpatialSample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit(Knows(), asked, tmp_path, "grayscale")
    file = tmp_path / "audit/grayscale/predictions.jsonl"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:34]))
    names = passes_asked(monkeypatch)
    made = audit(Knows(), asked, tmp_path, "grayscale")["audits"]["grayscale"]["passes"]["grayscale"]
    assert names == ["grayscale"]
    assert made["n"] == len(asked)


def test_what_was_found_before_stays_on_the_page(asked: list[SpatialSample], tmp_path: Path) -> None:
    first = audit(Knows(), asked, tmp_path, "mirrored", "rotated_choices")
    both = audit(Knows(), asked, tmp_path, "grayscale")
    assert list(both["audits"]) == ["grayscale", "mirrored", "rotated_choices"]  # in their own order
    assert both["bias"] == first["bias"]
    assert both["audits"]["mirrored"]["passes"] == json.loads(
        json.dumps(first["audits"]["mirrored"]["passes"])
    )
    # Of another model nothing stays.
    other = audit(TakesTheLast(), asked, tmp_path, "grayscale", identity="another one")
    assert list(other["audits"]) == ["grayscale"]


def test_p_values_are_adjusted_for_the_whole_family_whatever_is_asked(
    asked: list[SpatialSample], tmp_path: Path
) -> None:
    alone = audit(Moving(), asked, tmp_path / "alone", "mirrored")["audits"]["mirrored"]["passes"]["mirrored"]
    assert 0 < alone["p"] < 0.05 / 6
    assert alone["holm"] == pytest.approx(6 * alone["p"])
    noise = audit(Moving(), asked, tmp_path / "noise", "spoilt")["audits"]["spoilt"]["passes"]
    assert all("holm" not in row for row in noise.values())


class Moving(Knows):
    """Knows the answer, but takes some things in a mirror for the other side."""

    def reply(self, sample: SpatialSample, brightness: float) -> str:
        mirrored = "Mirrored" in type(sample.image).__name__
        return "A" if mirrored and sample.task == "Count" else super().reply(sample, brightness)


def test_one_more_of_few_right_shows_no_virtue(tmp_path: Path) -> None:
    """Of two images, or where one of sixty answers changes, nothing is said to hold or to be lost."""
    for count in (2, 30):
        samples = questions(tmp_path, images=count)
        result = audit(Knows(), samples, tmp_path / str(count), "grayscale")
        sentence = result["audits"]["grayscale"]["findings"][0]
        assert "is not clear" in sentence and "images only" in sentence
        assert "Not clear" in result["in_short"][-1]


class Told(Knows):
    """Knows the answer where its prompt ends as usual, and takes A elsewhere."""

    def __init__(self, prompt: Prompt) -> None:
        super().__init__()
        self.prompt = prompt

    def reply(self, sample: SpatialSample, brightness: float) -> str:
        usual = self.prompt.ending_of(sample.answer_type) == ENDINGS[AnswerType.LETTER]
        return super().reply(sample, brightness) if usual else "A"


def test_only_the_last_line_of_the_prompt_is_worded_otherwise(
    asked: list[SpatialSample], tmp_path: Path
) -> None:
    told = Told(Prompt(system="You see.", options="{letter}. {choice}"))
    rows = audit(told, asked, tmp_path / "usual", "instruction")["audits"]["instruction"]["passes"]
    assert len(rows) == 3
    wrong = sum(sample.answer != "A" for sample in asked)
    assert all(row["newly_wrong"] == wrong and row["changed"] == 1 for row in rows.values())
    assert told.prompt.system == "You see." and told.prompt.ending == dict(ENDINGS)
    # What has no usual last line is not worded otherwise.
    own = audit(Told(Prompt(ending="Think step by step.")), asked, tmp_path / "own", "instruction")
    assert "no last line that could be worded otherwise" in own["audits"]["instruction"]["error"]


def test_a_picture_that_is_passed_over_costs_no_audit(tmp_path: Path) -> None:
    samples = questions(tmp_path, images=50)
    (tmp_path / "7.png").write_bytes(b"no picture")
    data = Rooms(samples, on_bad_image="answer_blind")
    audits = audit(Knows(), samples, tmp_path, "grayscale", data=data)["audits"]
    row = audits["grayscale"]["passes"]["grayscale"]
    assert row["n"] == 100
    assert row["changed"] == pytest.approx(0.98)
    assert "Only 98.0 % of the questions are changed" in audits["grayscale"]["findings"][0]


class Unjudged(ListedData):
    """Has a score, but no judgement of a single answer."""

    def metric(self, stage: str = "test") -> MeanMetric:  # type: ignore[override]
        return MeanMetric()


def test_answers_that_nobody_judges_are_not_taken_for_wrong(
    asked: list[SpatialSample], tmp_path: Path
) -> None:
    result = audit(Knows(), asked, tmp_path, "grayscale", data=Unjudged(asked))
    assert result["base"] is None
    assert "judges no single answer" in result["error"]


def test_the_unreadable_are_counted_where_no_colour_is_named(tmp_path: Path) -> None:
    samples = questions(tmp_path, images=50)
    samples[0] = samples[0].replace(question="Where is the red chair?")
    made = audit(Mumbles(), samples, tmp_path, "colour")["audits"]["colour"]["passes"]["no_colour_named"]
    assert made["n"] == 99 and made["left_out"] == {"a colour is named": 1}
    assert made["unreadable"] == [0, 49] and made["answers_changed"] == 49


class Mumbles(Knows):
    """Knows the answer, and says nothing of sides in grey."""

    def reply(self, sample: SpatialSample, brightness: float) -> str:
        gray = "Gray" in type(sample.image).__name__
        return "hm" if gray and sample.task == "Relation" else super().reply(sample, brightness)


def test_data_and_model_are_afterwards_as_they_were(asked: list[SpatialSample], tmp_path: Path) -> None:
    data = Rooms(asked, evaluation_batch_size=7, batch_size=3)
    before = data.split(data.scored)
    audit(Knows(), asked, tmp_path, "identity", "grayscale", "mirrored", data=data)
    assert data.views == () and data.evaluation_batch_size == 7
    assert data.split(data.scored) is before


def test_a_picture_that_is_gone_costs_the_audits_that_need_it(tmp_path: Path) -> None:
    samples = questions(tmp_path, images=50)
    audit(Knows(), samples, tmp_path, "rotated_choices")
    (tmp_path / "7.png").unlink()
    result = audit(Knows(), samples, tmp_path, "grayscale", "colour", "rotated_choices")
    assert result["base"]["n"] == 100
    for name in ("grayscale", "colour"):
        assert "7.png" in result["audits"][name]["error"]
    assert result["audits"]["rotated_choices"]["passes"].keys() == {"rotated_1", "rotated_2", "rotated_3"}
