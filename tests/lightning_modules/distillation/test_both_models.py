"""The losses against what both models say by themselves: vocabularies, caps, ends and words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
import torch

from lightning_modules.distillation.attention.loss import AttentionDistillation
from lightning_modules.distillation.logits.loss import LogitDistillation
from lightning_modules.distillation.module import DistilledStudent
from lightning_modules.distillation.output_writing import OutputWriting
from lightning_modules.distillation.teachers.cache_files import CacheWriter
from lightning_modules.distillation.teachers.cached import CachedTeacher
from lightning_modules.distillation.teachers.live import Teacher
from lightning_modules.vlm.adapters import AdapterConfig
from lightning_modules.vlm.collator import VlmCollator
from lightning_modules.vlm.loading import load_vlm
from lightning_modules.vlm.prompt_template import Prompt
from lightning_modules.vlm.tiny_models import TinySize
from tests.helpers.both_models import (
    maps_of,
    plain_attention,
    plain_divergence,
    plain_entropy,
    said_of,
    saved,
)
from tests.helpers.sample_questions import letter_question
from tests.helpers.small_models import as_if_trained

SIZE = TinySize(width=64, layers=2, vision_layers=1, image_size=56)
DEEPER = TinySize(width=64, layers=3, vision_layers=1, image_size=56)
SAMPLES = [
    letter_question(0),
    letter_question(2, id="blind", image=None, examples=(letter_question(4, image=None),)),
    letter_question(1, rationale="The box."),
]


class Pair(NamedTuple):
    """What is special about a student, its teacher, and the training."""

    family: str
    ours: dict[str, Any]
    theirs: dict[str, Any]
    teacher_family: str = ""
    options: Mapping[str, Any] = MappingProxyType({})


PAIRS = {
    "vocabularies of a real size": Pair("smolvlm", {"rows": 40_000}, {"rows": 40_100}),
    "a larger vocabulary": Pair("smolvlm", {"rows": 1_700}, {}),
    "soft caps": Pair("paligemma", {"softcap": 0.5}, {"softcap": 0.8}),
    "another end": Pair("smolvlm", {}, {"end": "<global-img>"}),
    "another family": Pair(
        "internvl",
        {},
        {},
        "qwen2_5_vl",
        {"rationale": True, "answering": "generate", "prompt": Prompt("Be exact.", "Say: {question}")},
    ),
}
K = 40
"""How many of the likeliest tokens a cache keeps."""

ATTENTION = AttentionDistillation(rows="answer", columns="image")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    made = {}
    for name, pair in PAIRS.items():
        folder = tmp_path_factory.mktemp("pair")
        made[name] = (
            saved(folder / "student", pair.family, SIZE, 0, **pair.ours),
            saved(folder / "teacher", pair.teacher_family or pair.family, DEEPER, 1, **pair.theirs),
        )
    return made


def classes_of(ours: Any, theirs: Any, ends: tuple[int, int]) -> tuple[list[int], list[int]]:
    """The numbers of what both have: the smaller vocabulary, or else the tokens of text and the end."""
    words = [
        {number: word for word, number in each.processor.tokenizer.get_vocab().items()}
        for each in (ours, theirs)
    ]
    if words[0] == words[1] and ends[0] == ends[1]:
        rows = [each.model.get_output_embeddings().weight.shape[0] for each in (ours, theirs)]
        return list(range(min(rows))), list(range(min(rows)))
    same = takewhile(lambda number: words[0].get(number) == words[1].get(number), range(min(map(len, words))))
    text = [number for number in same if number not in ends]
    return [*text, ends[0]], [*text, ends[1]]


def written(model: DistilledStudent, folder: Path) -> Teacher:
    """The teacher of a student, from its cache."""
    settings = model.teacher_settings
    model.teacher_settings = replace(settings, cache=str(folder), cache_k=K)
    model.attention_loss, model.pairs = None, []
    writing = OutputWriting(model, torch.device("cpu"))
    writer = CacheWriter(folder, writing.manifest, 2)
    for some in (SAMPLES[1:], SAMPLES[:1]):
        writer.add(writing.outputs(writing.collator(some)))
    writer.finish()
    return model.teacher_settings


@pytest.mark.parametrize("name", PAIRS)
def test_the_terms_are_those_of_both_models_own_outputs(
    name: str, folders: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    """Live and from a cache, with no code shared: one sample at a time, each model in its own words."""
    (student, teacher), options = folders[name], PAIRS[name].options
    torch.manual_seed(0)
    model = DistilledStudent(
        Teacher(str(teacher)),
        model=str(student),
        adapter=AdapterConfig(dropout=0.0),
        logits=LogitDistillation(alpha=0.3, temperature=1.5, chunk=3),
        attention=ATTENTION if name == "vocabularies of a real size" else None,
        logit_weight=2.0,
        attention_weight=0.25,
        **options,
    ).eval()
    as_if_trained(model.network)
    model.open_teacher()
    batch: Any = model.collator("fit")(SAMPLES)
    live = {term: float(value.detach()) for term, value in model.loss(batch).items()}

    theirs = load_vlm(str(teacher))
    words = {"rationale": options.get("rationale", False), "prompt": options.get("prompt")}
    readers = [VlmCollator(each.processor, each.family, True, **words) for each in (model.vlm, theirs)]
    ends = (readers[0].conversation.end_id, readers[1].conversation.end_id)
    classes = classes_of(model.vlm, theirs, ends)
    entropies, divergences, of_the_likeliest, looks = [], [], [], []
    for row, sample in enumerate(SAMPLES):
        answer = batch["labels"][row][batch["labels"][row] != -100].tolist()
        ours_alone, theirs_alone = (reader([sample])["prompt"] for reader in readers)
        ours_said = said_of(model.network, model.vlm, ours_alone, answer)
        theirs_said = said_of(theirs.model, theirs, theirs_alone, [*answer[:-1], ends[1]])
        entropies.append(plain_entropy(ours_said, answer))
        divergences.append(plain_divergence(ours_said, theirs_said, classes, 1.5))
        of_the_likeliest.append(plain_divergence(ours_said, theirs_said, classes, 1.5, K))
        if "attention" in live:
            images = (ours_alone["input_ids"][0] == model.vlm.processor.image_token_id).nonzero()[:, 0]
            first = ours_alone["input_ids"].shape[1] - 1
            maps = [
                maps_of(network, vlm, ours_alone, answer)
                for network, vlm in ((model.network, model.vlm), (theirs.model, theirs))
            ]
            looks += [
                plain_attention(
                    maps[0][ours], maps[1][other], list(range(first, first + len(answer))), images.tolist()
                )
                for ours, other in ((0, 0), (1, 2))
            ]
    weight = 2.0 * 0.7 * 1.5**2
    wanted = {
        "cross_entropy": 2.0 * 0.3 * float(torch.cat(entropies).mean()),
        "divergence": weight * float(torch.cat(divergences).mean()),
        **({"attention": 0.25 * float(torch.stack(looks).mean())} if looks else {}),
    }
    assert live == pytest.approx(wanted, rel=1e-4)
    assert all(value > 1e-3 for value in wanted.values())

    model.teacher_settings = written(model, tmp_path)
    model.open_teacher()
    assert isinstance(model.teacher, CachedTeacher)
    cached = {
        name: float(value.detach()) for name, value in model.loss(model.collator("fit")(SAMPLES)).items()
    }
    assert cached["cross_entropy"] == pytest.approx(wanted["cross_entropy"], rel=1e-4)
    assert cached["divergence"] == pytest.approx(weight * float(torch.cat(of_the_likeliest).mean()), rel=1e-3)
