"""The digest of a model: that of its content and not of its place, from a small part of its bytes."""

from __future__ import annotations

import builtins
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from lightning_modules.base import SpatialModule
from lightning_modules.vlm.loading import load_vlm
from lightning_modules.vlm.sft import PeftSft
from lightning_modules.vlm.tiny_models import TinySize, make_tiny_model
from lightning_modules.weights_digest import PIECE_BYTES, model_digest

SMALL = TinySize(width=64, layers=1, vision_layers=1, image_size=56)
WEIGHTS = "model.safetensors"


def saved(folder: Path, seed: int = 0, size: TinySize = SMALL) -> Path:
    model, processor = make_tiny_model("smolvlm", seed, size)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("model"))


def test_a_copy_and_the_same_seed_are_the_same_model(model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "copy")
    (tmp_path / "link").symlink_to(model)
    assert model_digest(tmp_path / "copy") == model_digest(model) == model_digest(tmp_path / "link")
    assert model_digest(saved(tmp_path / "again")) == model_digest(model)
    assert load_vlm(str(tmp_path / "copy")).origin == load_vlm(str(model)).origin == model_digest(model)


def test_notes_beside_a_model_do_not_count(model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "copy")
    (tmp_path / "copy/README.md").write_text("mine")
    (tmp_path / "copy/.cache").mkdir()
    (tmp_path / "copy/.cache/note.json").write_text("{}")
    assert model_digest(tmp_path / "copy") == model_digest(model)


def retrained(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    name = "model.text_model.layers.0.mlp.up_proj.weight"
    tensors[name] = tensors[name] + 1e-3
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def settings_changed(folder: Path) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"image_seq_len": 7}))


CHANGES = {
    "another seed": lambda folder: saved(folder, seed=1),
    "one tensor trained": retrained,
    "settings": settings_changed,
    "template": lambda folder: (folder / "chat_template.jinja").write_text("{{ 'Hello' }}"),
    "a file less": lambda folder: (folder / "chat_template.jinja").unlink(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_makes_another_model_makes_another_digest(change: str, model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "copy")
    CHANGES[change](tmp_path / "copy")
    assert model_digest(tmp_path / "copy") != model_digest(model)


def test_little_of_a_large_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = {f"layer.{number}": torch.zeros(2**21) for number in range(4)}
    save_file(tensors, tmp_path / WEIGHTS)
    (tmp_path / "tokenizer.json").write_bytes(bytes(2**25))
    read: list[int] = []
    opened = io.open

    def counting(*arguments: Any, **options: Any) -> Any:
        file = opened(*arguments, **options)
        original = file.read

        def file_read(size: int = -1) -> Any:
            content = original(size)
            read.append(len(content))
            return content

        class Counted:
            read = staticmethod(file_read)
            seek = staticmethod(file.seek)

            def __enter__(self) -> Any:
                return self

            def __exit__(self, *_: Any) -> None:
                file.close()

        return Counted()

    monkeypatch.setattr(io, "open", counting)
    monkeypatch.setattr(builtins, "open", counting)
    model_digest(tmp_path)
    assert 4 * PIECE_BYTES < sum(read) < 5e6 < sum(file.stat().st_size for file in tmp_path.iterdir()) / 10


def test_modules_say_what_they_began_with(model: Path) -> None:
    assert PeftSft(str(model)).origins() == {"model": model_digest(model)}
    tiny_model = PeftSft("smolvlm_500m", random_weights=True, tiny_size=SMALL, weights_seed=3)
    assert tiny_model.origins() == {"model": "tiny random model, seed 3"}
    assert SpatialModule.origins(tiny_model) == {"model": "random weights"}


@pytest.mark.parametrize("name", ["a.bin", "a.pth", "a.pt", "a.gguf", "a.model", "a.jinja", "vocab.txt"])
@pytest.mark.parametrize("place", [0, 6000, -1])
def test_every_byte_of_a_small_file_counts(tmp_path: Path, name: str, place: int) -> None:
    content = bytearray(b"x" * 20_000)
    (tmp_path / name).write_bytes(content)
    (tmp_path / "config.json").write_text("{}")
    before = model_digest(tmp_path)
    content[place] ^= 1
    (tmp_path / name).write_bytes(content)
    assert model_digest(tmp_path) != before


@pytest.mark.parametrize(("tensor", "place"), [(0, 0), (0, -1), (1, 0), (2, 0), (2, -1)])
def test_every_tensor_counts(tmp_path: Path, tensor: int, place: int) -> None:
    """The first 4 KB of each; of three, the second is larger."""
    tensors = [torch.zeros(size, dtype=torch.uint8) for size in (500, 9000, 70)]
    save_file({str(number): each for number, each in enumerate(tensors)}, tmp_path / WEIGHTS)
    before = model_digest(tmp_path)
    tensors[tensor][place] = 1
    save_file({str(number): each for number, each in enumerate(tensors)}, tmp_path / WEIGHTS)
    assert model_digest(tmp_path) != before


def test_files_that_exchange_their_names_are_another_model(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"first")
    (tmp_path / "b.bin").write_bytes(b"other")
    before = model_digest(tmp_path)
    (tmp_path / "a.bin").write_bytes(b"other")
    (tmp_path / "b.bin").write_bytes(b"first")
    assert model_digest(tmp_path) != before
