"""Models of the hub, against a server on this machine that plays it: revisions, commits, and refusals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file
from transformers import LlamaForCausalLM

from lightning_modules.base import ModelError
from lightning_modules.model_source import ModelSource, source_of
from lightning_modules.package_weights import WeightsError, timm_origin
from lightning_modules.vlm import zoo
from lightning_modules.vlm.composed_encoder import VisionTower
from lightning_modules.vlm.encoder_swap import load_language_model
from lightning_modules.vlm.loading import Composed, family_named, load_vlm
from lightning_modules.vlm.tiny_models import TinySize, make_tiny_model
from lightning_modules.vlm.zoo import ZOO, ZooEntry
from tests.helpers.composed_models import small_llama
from tests.helpers.hub_server import LoopbackHub

SMALL = TinySize(width=64, layers=1, vision_layers=1, image_size=56)
WEIGHTS = "model.safetensors"
NAME = "someone/small-vlm"


def saved(folder: Path, seed: int) -> Path:
    model, processor = make_tiny_model("smolvlm", seed, SMALL)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two states of a model: other weights, another temperature, another template."""
    folder = tmp_path_factory.mktemp("models")
    states = [saved(folder / str(seed), seed) for seed in range(2)]
    template = states[1] / "chat_template.jinja"
    template.write_text(template.read_text() + "{# later #}")
    config = states[1] / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"later": True}))
    return states


def weights(model: torch.nn.Module) -> torch.Tensor:
    return next(model.parameters()).detach().flatten()[:100].float()


def test_a_revision_holds_for_configuration_processor_and_weights(
    hub: LoopbackHub, models: list[Path]
) -> None:
    first = hub.publish(NAME, models[0], revision="v1")
    second = hub.publish(NAME, models[1])
    assert first != second
    for name, folder, commit in (
        (NAME, models[1], second),
        (f"{NAME}@main", models[1], second),
        (f"{NAME}@v1", models[0], first),
        (f"{NAME}@{first}", models[0], first),
    ):
        found, wanted = load_vlm(name), load_vlm(str(folder))
        assert found.origin == commit
        assert found.name == name
        assert torch.equal(weights(found.model), weights(wanted.model))
        assert found.processor.chat_template == wanted.processor.chat_template
        assert getattr(found.model.config, "later", False) == (folder == models[1])
        assert family_named(name) is found.family


def test_a_run_keeps_to_the_commit_that_it_began_with(hub: LoopbackHub, models: list[Path]) -> None:
    first = hub.publish(NAME, models[0])
    family_named(NAME)
    hub.publish(NAME, models[1])
    loaded = load_vlm(NAME)
    assert loaded.origin == first
    assert torch.equal(weights(loaded.model), weights(load_vlm(str(models[0])).model))


def test_the_zoo_has_a_place_for_a_revision(
    hub: LoopbackHub, models: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = hub.publish(NAME, models[0], revision="v1")
    second = hub.publish(NAME, models[1], revision="v2")
    monkeypatch.setitem(ZOO, "small", ZooEntry("small", NAME, "smolvlm", revision="v1"))
    assert load_vlm("small").origin == first
    assert load_vlm("small@v2").origin == second
    assert zoo.entry_of("smolvlm_500m") == ZOO["smolvlm_500m"]
    assert zoo.entry_of("else") is None


def test_a_language_model_has_revisions_as_well(hub: LoopbackHub, tmp_path: Path) -> None:
    tokenizer = make_tiny_model("composed", size=SMALL)[1].tokenizer
    commits = []
    for seed in range(2):
        torch.manual_seed(seed)
        LlamaForCausalLM(small_llama(len(tokenizer))).save_pretrained(tmp_path / str(seed))
        tokenizer.save_pretrained(tmp_path / str(seed))
        commits.append(hub.publish("someone/llm", tmp_path / str(seed), revision=f"v{seed}"))
    found, wanted = (
        load_language_model("someone/llm@v0", "hub")[0],
        load_language_model(str(tmp_path / "0"), "hub")[0],
    )
    assert torch.equal(weights(found), weights(wanted))
    loaded = load_vlm(Composed("test_vit", "someone/llm@v1", encoder_weights="none", image_tokens=25))
    assert loaded.origin == f"encoder random weights, language model {commits[1]}"


def test_a_folder_may_have_an_at_in_its_name(
    models: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(models[0], tmp_path / "owner/model@home")
    monkeypatch.chdir(tmp_path)
    for name in ("owner/model@home", str(tmp_path / "owner/model@home")):
        assert source_of(name) == ModelSource(name)
        assert torch.equal(weights(load_vlm(name).model), weights(load_vlm(str(models[0])).model))
    shutil.copytree(models[0], tmp_path / "owner/model")
    with pytest.raises(ModelError, match="owner/model is a folder here, which has no revisions"):
        load_vlm("owner/model@v1")


@pytest.mark.parametrize("name", ["owner/model@", "@v1"])
def test_half_a_name_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match=r"names no model: give owner/name@revision"):
        load_vlm(name)


def refusal(name: str) -> str:
    """What the user reads, whichever question comes first."""
    with pytest.raises(ModelError) as raised:
        load_vlm(name)
    with pytest.raises(ModelError) as of_language_model:
        load_vlm(Composed("test_vit", name, encoder_weights="none"))
    assert str(of_language_model.value) == str(raised.value)
    return str(raised.value)


def test_gated_missing_and_unreachable_are_three_sentences(
    hub: LoopbackHub, models: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.publish("someone/gated", models[0], gated=True)
    hub.publish(NAME, models[0])
    gated = refusal("someone/gated")
    assert "gated: accept its licence at https://huggingface.co/someone/gated" in gated
    assert "hf auth login" in gated
    missing = refusal("someone/smol-vlm")
    assert "no model someone/smol-vlm" in missing and "spelling" in missing
    revision = refusal(f"{NAME}@v9")
    assert f"{NAME} has no revision 'v9'" in revision and "spelling" in revision
    both = refusal("someone/smol-vlm@v9")
    assert "someone/smol-vlm at revision 'v9'" in both
    hub.failing = 503
    failing = refusal(NAME)
    assert "error 503" in failing and "later" in failing
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    offline = refusal(NAME)
    assert "HF_HUB_OFFLINE is set" in offline and "unset HF_HUB_OFFLINE" in offline
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    unreachable = refusal(NAME)
    assert "cannot be reached at http://127.0.0.1:9" in unreachable and "connection" in unreachable
    sentences = {"gated": gated, "spelling": missing, "HF_HUB_OFFLINE": offline, "reached": unreachable}
    for word, sentence in sentences.items():
        assert [other for other in sentences.values() if word in other] == [sentence], word
    assert all(
        "hf download" in sentence and "random_weights: true" in sentence for sentence in sentences.values()
    )


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_bare_number_is_not_read_for_more_than_it_says(
    hub: LoopbackHub, models: list[Path], status: int
) -> None:
    hub.publish(NAME, models[0])
    hub.failing = status
    sentence = refusal(NAME)
    assert ("no model" in sentence) == (status == 404)
    assert ("hf auth login" in sentence) and NAME in sentence


def test_what_was_fetched_before_is_enough_without_a_connection(
    hub: LoopbackHub, models: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = hub.publish(NAME, models[0])
    hub.publish(NAME, models[1], revision="v2")
    load_vlm(NAME)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    loaded = load_vlm(NAME)
    assert loaded.origin == commit
    sentence = refusal(f"{NAME}@v2")
    assert "HF_HUB_OFFLINE is set" in sentence and "at revision 'v2'" in sentence


def test_encoders_of_timm_are_fetched_and_refused_in_the_same_words(hub: LoopbackHub, tmp_path: Path) -> None:
    pretrained = timm.get_pretrained_cfg("test_vit")
    assert pretrained is not None
    repository = pretrained.hf_hub_id
    assert isinstance(repository, str)
    with pytest.raises(WeightsError, match=f"of 'test_vit' cannot be had.* no model {repository}.*spelling"):
        VisionTower("test_vit", 160, pretrained=True)
    whole = timm.create_model("test_vit").state_dict()
    (tmp_path / "config.json").write_text("{}")
    save_file({name: tensor for name, tensor in whole.items() if "blocks.1" not in name}, tmp_path / WEIGHTS)
    hub.publish(repository, tmp_path)
    with pytest.raises(WeightsError, match=r"lack \d+ of \d+ tensors of the network, such as 'blocks\.1"):
        VisionTower("test_vit", 160, pretrained=True)
    save_file(whole, tmp_path / WEIGHTS)
    commit = hub.publish(repository, tmp_path)
    tower = VisionTower("test_vit", 160, pretrained=True)
    assert torch.equal(tower.network.patch_embed.proj.weight, whole["patch_embed.proj.weight"])
    assert timm_origin("test_vit", "hub") == commit
