"""What is planted into one stage of an answer shows in that stage and from end to end, and nowhere else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from datamodules.base import SpatialDataModule
from datamodules.samples import SpatialSample
from datamodules.views import Grayscale
from experiments.latency import stages
from experiments.latency.figures import Figure, figure
from experiments.latency.measuring import ONE_QUESTION, OVER_THE_SET, Measuring, spread, take_timings
from experiments.latency.stages import DECODE, DECODING, END_TO_END, PREFILL, PREPROCESS, VISION, AnswerClock
from experiments.tested import AsTested
from lightning_modules.answering_parts import AnsweringParts, PromptTokens
from lightning_modules.base import SpatialModule
from lightning_modules.phases import Phase
from lightning_modules.placement import Placement
from lightning_modules.tiny_giant.module import TinyGiant
from lightning_modules.vlm.adapters import AdapterConfig
from lightning_modules.vlm.sft import PeftSft
from tests.helpers.listed_data import ListedData
from tests.helpers.memory_data import MemoryData
from tests.helpers.sample_questions import SMALL, letter_question, noise_image
from tests.helpers.small_tiny_giant import CONFIG

SLEEP_S = 0.04
TIMES = 4


@dataclass(frozen=True)
class SlowImage:
    """A noise image that takes a while to open, and counts how often it was."""

    seed: int
    size: tuple[int, int] = (60, 90)
    sleep_s: float = 0.0
    opened: list[int] = field(default_factory=list, compare=False)

    @property
    def name(self) -> str:
        return f"slow {self.seed}"

    def open(self) -> Image.Image:
        time.sleep(self.sleep_s)
        self.opened.append(1)
        return noise_image(self.seed, *self.size).image


def vlm(answering: str, name: str = "smolvlm_500m") -> PeftSft:
    return PeftSft(
        name,
        random_weights=True,
        tiny_size=SMALL,
        adapter=AdapterConfig(method="none"),
        answering=answering,  # type: ignore[arg-type]
        maximum_new_tokens=3,
    ).eval()


def tiny_giant(data: SpatialDataModule) -> TinyGiant:
    module = TinyGiant(CONFIG, [Phase("normalized", 1)])
    module.vocabulary.build(data.texts())
    return module.eval()


def questions(count: int = 3, **image: Any) -> list[SpatialSample]:
    return [
        letter_question(number, image=SlowImage(number, **image), group=str(number), task="mcq")
        for number in range(count)
    ]


def measured(module: SpatialModule, data: SpatialDataModule, folder: Path, wanted: int = TIMES) -> Measuring:
    asked = AsTested(module, data, Placement("cpu", "32-true"), "a model")
    return take_timings(asked, wanted, folder, lambda line: None)


def fastest(measuring: Measuring, name: str = ONE_QUESTION) -> dict[str, float]:
    """The shortest time of each stage and from end to end: what a busy machine changes least."""
    timings = measuring.figures[name].timings
    found = {stage: min(timing.seconds[stage] for timing in timings) for stage in timings[0].seconds}
    return {**found, END_TO_END: min(timing.end_to_end for timing in timings)}


def slow(module: nn.Module, monkeypatch: pytest.MonkeyPatch, when: Callable[[int], bool]) -> list[int]:
    """Have those calls of a module sleep that are wanted by their number, since the list was emptied."""
    calls: list[int] = []
    forward = module.forward

    def sleepy(*inputs: Any, **named: Any) -> Any:
        calls.append(1)
        if when(len(calls)):
            time.sleep(SLEEP_S)
        return forward(*inputs, **named)

    monkeypatch.setattr(module, "forward", sleepy)
    return calls


def plant(where: str, module: SpatialModule, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plant a sleep into a stage."""
    parts = module.answering_parts()
    assert parts is not None
    if where == PREPROCESS:
        collator = module.collator("test")

        def sleepy(samples: Sequence[SpatialSample]) -> Any:
            time.sleep(SLEEP_S)
            return collator(samples)

        monkeypatch.setattr(module, "collator", lambda stage: sleepy)
    elif where == VISION:
        slow(parts.vision[0], monkeypatch, lambda call: True)
    else:
        calls = slow(parts.language_model, monkeypatch, lambda call: (call == 1) == (where == PREFILL))
        answer = module.answer

        def from_the_first_call(batch: Any) -> Any:
            calls.clear()
            return answer(batch)

        monkeypatch.setattr(module, "answer", from_the_first_call)


def shows_in(stage: str, plain: dict[str, float], planted: dict[str, float]) -> None:
    """A sleep shows there and from end to end; elsewhere nothing of it does."""
    assert planted[stage] >= SLEEP_S and planted[END_TO_END] >= planted[stage]
    for name in plain.keys() - {stage, END_TO_END}:
        assert planted[name] < plain[name] + 0.6 * SLEEP_S, (name, plain, planted)


KINDS = ("generate", "rank", "reason_then_rank", "qwen", "tiny_giant")


@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_sleep_shows_where_it_was_planted(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightning_modules.tiny_giant.module.LONGEST_NORMALIZED", 3)

    if kind == "tiny_giant":
        module: SpatialModule = tiny_giant(MemoryData(images=1))
        sample = MemoryData(images=1).split("test").samples(0, [0])[0]

        def data(**image: Any) -> SpatialDataModule:
            return ListedData([sample.replace(image=SlowImage(1, (64, 64), **image))])
    else:
        module = vlm("generate", "qwen2_5_vl_3b") if kind == "qwen" else vlm(kind)

        def data(**image: Any) -> SpatialDataModule:
            return ListedData(questions(1, **image))

    plain = fastest(measured(module, data(), tmp_path))
    shows_in(DECODE, plain, fastest(measured(module, data(sleep_s=SLEEP_S), tmp_path)))
    for stage in (PREPROCESS, VISION, PREFILL, DECODING):
        if kind == "rank" and stage == DECODING:
            continue  # letters are single tokens: the prompt is all that is read
        with pytest.MonkeyPatch.context() as patch:
            plant(stage, module, patch)
            shows_in(stage, plain, fastest(measured(module, data(), tmp_path)))


@contextmanager
def counted_hooks(module: SpatialModule) -> Iterator[list[int]]:
    def hooks() -> int:
        return sum(len(each._forward_hooks) + len(each._forward_pre_hooks) for each in module.modules())

    found = [hooks()]
    yield found
    found.append(hooks())


def test_the_stages_add_up_and_the_hooks_are_gone(tmp_path: Path) -> None:
    module = vlm("reason_then_rank")
    with counted_hooks(module) as hooks:
        measuring = measured(module, ListedData(questions()), tmp_path)
    assert hooks[0] == hooks[1]
    for name in (ONE_QUESTION, OVER_THE_SET):
        for timing in measuring.figures[name].timings:
            assert sum(timing.seconds.values()) == pytest.approx(timing.end_to_end, abs=1e-9)
            assert min(timing.seconds.values()) > 0
    rows = figure(measuring.figures[OVER_THE_SET])["rows"]
    total = rows.pop(END_TO_END)["mean"]
    assert sum(row["mean"] for row in rows.values()) == pytest.approx(total)


def test_hooks_are_gone_where_an_answer_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = vlm("rank")

    def broken(*inputs: Any, **named: Any) -> Any:
        raise ValueError("broken")

    parts = module.answering_parts()
    monkeypatch.setattr(parts.language_model, "forward", broken)
    with counted_hooks(module) as hooks, pytest.raises(ValueError, match="broken"):
        measured(module, ListedData(questions()), tmp_path)
    assert hooks[0] == hooks[1]


def test_a_shape_is_answered_once_before_a_question_of_it_is_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two sizes of images make two shapes; the first answer of each costs what no later one does."""
    sizes = [(60, 90), (60, 90), (90, 40), (60, 90), (90, 40)]
    samples = [
        letter_question(0, id=str(number), image=SlowImage(number, size), group=str(number), task="mcq")
        for number, size in enumerate(sizes)
    ]
    module = vlm("rank", "qwen2_5_vl_3b")
    seen: set[tuple[int, ...]] = set()
    answer = module.answer

    def slow_at_first(batch: Any) -> Any:
        shape = tuple(batch["prompt"]["pixel_values"].shape)
        if shape not in seen:
            seen.add(shape)
            time.sleep(0.5)
        return answer(batch)

    monkeypatch.setattr(module, "answer", slow_at_first)
    measuring = measured(module, ListedData(samples), tmp_path, wanted=len(samples))
    assert len(seen) == 2
    assert measuring.figures[ONE_QUESTION].warm_up_runs == 1
    assert measuring.figures[OVER_THE_SET].warm_up_runs == 2
    assert [timing.question for timing in measuring.figures[OVER_THE_SET].timings] == list("01234")
    assert [timing.question for timing in measuring.figures[ONE_QUESTION].timings] == ["0"] * 5
    for timings in measuring.figures.values():
        assert max(timing.end_to_end for timing in timings.timings) < 0.5


def test_each_question_opens_its_image_and_has_the_views_of_the_run(tmp_path: Path) -> None:
    samples = questions(2)
    seen: list[bool] = []

    class Looking(PeftSft):
        def answer(self, batch: Any) -> Any:
            red, green, _ = batch["prompt"]["pixel_values"].movedim(-3, 0)
            seen.append(torch.equal(red, green))
            assert not torch.is_grad_enabled() and not self.training
            assert len(batch["samples"]) == 1
            return super().answer(batch)

    module = Looking("smolvlm_500m", random_weights=True, tiny_size=SMALL)
    measured(module, ListedData(samples, views=[Grayscale()], evaluation_batch_size=8), tmp_path, wanted=2)
    first, second = (sample.image for sample in samples)
    assert isinstance(first, SlowImage) and isinstance(second, SlowImage)
    # As the one question: for its shape, its warm-up, two timings. Over the set, of the same shape: for its
    # shape, its warm-up, its timing; the second question has no warm-up. Then the test asks the first.
    assert len(first.opened) == 4 + 3 + 1
    assert len(second.opened) == 2
    assert seen == [True] * (3 + 3 + 1)


def test_images_of_examples_are_decoding(tmp_path: Path) -> None:
    example = letter_question(7, image=SlowImage(7, sleep_s=SLEEP_S))
    samples = [letter_question(0, task="mcq", examples=(example,), image=SlowImage(0))]
    plain = fastest(measured(vlm("rank"), ListedData(questions(1)), tmp_path))
    measuring = measured(vlm("rank"), ListedData(samples), tmp_path)
    assert fastest(measuring)[DECODE] >= SLEEP_S
    assert fastest(measuring)[PREPROCESS] < plain[PREPROCESS] + 0.6 * SLEEP_S
    found = figure(measuring.figures[ONE_QUESTION])
    assert found["examples"] == {"mean": 1, "least": 1, "most": 1}
    # Of those that do not fit into the window nothing is counted.
    narrow = vlm("rank")
    narrow.maximum_tokens = int(found["tokens_in"]["mean"]) - 1
    without = figure(measured(narrow, ListedData(samples), tmp_path).figures[ONE_QUESTION])
    assert without["examples"] == {"mean": 0, "least": 0, "most": 0}


def test_tokens_are_counted_as_the_model_reads_and_writes_them(tmp_path: Path) -> None:
    counted: dict[str, Figure] = {}
    for answering in ("generate", "rank", "reason_then_rank"):
        module = vlm(answering)
        measuring = measured(module, ListedData(questions(1)), tmp_path)
        counted[answering] = figure(measuring.figures[OVER_THE_SET])
        batch = module.collator("test")(questions(1))
        assert counted[answering]["tokens_in"]["mean"] == batch["tokens"]
        image = (batch["prompt"]["input_ids"] == module.vlm.processor.image_token_id).sum()
        assert counted[answering]["image_tokens"]["mean"] == image > 0
        assert counted[answering]["image_share"] == pytest.approx(int(image) / batch["tokens"])
    assert counted["rank"]["tokens_out"]["mean"] == 0
    for answering in ("generate", "reason_then_rank"):
        assert 1 <= counted[answering]["tokens_out"]["mean"] <= 3


def test_written_tokens_are_those_that_generation_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    module = vlm("reason_then_rank")
    batch = module.collator("test")(questions(1))
    clock = AnswerClock(module.answering_parts(), torch.device("cpu"))
    from lightning_modules.vlm import generation

    returned: list[int] = []
    generate = generation.generate_tokens

    def noting(*inputs: Any, **named: Any) -> Any:
        tokens = generate(*inputs, **named)
        returned.append(len(tokens[0]))
        return tokens

    monkeypatch.setattr(generation, "generate_tokens", noting)
    for length in (1, 2, 5):
        module.maximum_new_tokens = length
        clock.begin()
        with clock.watching():
            module.answer(batch)
        assert module.written_tokens(batch, clock.reads) == returned[-1] == length
    giant = tiny_giant(MemoryData(images=1))
    assert giant.written_tokens({}, [1, 2, 3]) == 3


@pytest.mark.parametrize(
    ("name", "method"),
    [
        *((name, "none") for name in ("qwen2_5_vl_3b", "internvl3_1b", "paligemma2_3b")),
        *(("smolvlm_500m", method) for method in ("lora", "prompt_tuning", "bottleneck", "full")),
    ],
)
def test_every_family_and_adapter_calls_the_parts_that_it_names(name: str, method: Any) -> None:
    module = PeftSft(name, random_weights=True, tiny_size=SMALL, adapter=AdapterConfig(method=method)).eval()
    batch = module.collator("test")(questions(1))
    clock = AnswerClock(module.answering_parts(), torch.device("cpu"))
    with clock.watching(), torch.inference_mode():
        began = stages.now(clock.device)
        module.answer(batch)
        found = clock.divided(began, stages.now(clock.device))
    assert clock.reads == [batch["tokens"]]
    assert min(found.values()) > 0


def test_tokens_of_tiny_giant_are_words_and_squares() -> None:
    module = tiny_giant(MemoryData(images=1))
    sample = MemoryData(images=1).split("test").samples(0, [0])[0]
    batch = module.collator("test")([sample])
    assert module.prompt_tokens(batch) == PromptTokens(len(sample.question.split()) + 4, 4)


class Silent(SpatialModule):
    """A module that does not say which parts it answers with."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def collator(self, stage: str) -> Any:
        return lambda samples: {"x": torch.zeros(len(samples), 1)}

    def loss(self, batch: Any) -> Any:
        raise NotImplementedError

    def answer(self, batch: Any) -> Any:
        time.sleep(SLEEP_S)
        self.layer(batch["x"])
        return []


def test_a_module_that_tells_no_parts_has_one_stage_for_its_answer(tmp_path: Path) -> None:
    found = figure(measured(Silent(), ListedData(questions()), tmp_path).figures[ONE_QUESTION])
    assert list(found["rows"]) == ["decode", "preprocess", "answer", "end_to_end"]
    assert found["rows"]["answer"]["p50"] >= SLEEP_S
    assert found["tokens_in"] is found["tokens_out"] is found["image_share"] is None


def test_the_accelerator_is_waited_for_at_every_boundary(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    vision, connector, model = nn.Identity(), nn.Identity(), nn.Identity()
    device = torch.device("cuda", 0)
    clock = AnswerClock(AnsweringParts((vision, connector), model), device)
    with clock.watching():
        for part in (vision, connector, model, model):
            part(torch.zeros(1, 3))
    # Before and behind each part of vision, and behind the first call of the language model.
    assert waited == [device] * 5
    assert clock.reads == [3, 3]
    stages.now(torch.device("cpu"))
    assert len(waited) == 5


def test_a_part_within_another_one_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter(range(100))
    monkeypatch.setattr(stages, "now", lambda device: float(next(moments)))
    inner, model = nn.Identity(), nn.Identity()
    outer = nn.Sequential(nn.Identity(), inner)
    clock = AnswerClock(AnsweringParts((outer, inner), model), torch.device("cpu"))
    with clock.watching():
        outer(torch.zeros(1, 3))  # 0 to 1
        model(torch.zeros(1, 3))  # until 2
        inner(torch.zeros(1, 3))  # 3 to 4
    assert clock.divided(-10, 20) == {VISION: 2, PREFILL: 2 + 10 - 1, DECODING: 20 - 2 - 1}
    assert sum(clock.divided(-10, 20).values()) == 30


def test_questions_are_spread_from_the_first_to_the_last() -> None:
    samples = [letter_question(number, id=str(number)) for number in range(10)]
    assert [sample.id for sample in spread(samples, 4)] == ["0", "3", "6", "9"]
    assert [sample.id for sample in spread(samples, 1)] == ["0"]
    assert len({sample.id for sample in spread(samples, 9)}) == 9
    assert spread(samples, 10) == spread(samples, 200) == samples


def test_it_measures_what_a_trainer_runs_in_its_precision(tmp_path: Path) -> None:
    seen: list[torch.dtype] = []

    class Autocast(Silent):
        def answer(self, batch: Any) -> Any:
            seen.append(self.layer(batch["x"]).dtype)
            return []

    asked = AsTested(Autocast(), ListedData(questions()), Placement("cpu", "bf16-mixed"), "")
    take_timings(asked, 2, tmp_path, lambda line: None)
    assert set(seen) == {torch.bfloat16}
