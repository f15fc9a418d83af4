"""The Python way to what a run has trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from experiments.trained import load_trained
from lightning_modules.base import ModelError
from lightning_modules.checkpoints import CheckpointError
from lightning_modules.tiny_giant.module import TinyGiant
from tests.helpers.commands import ROOT, Command
from tests.helpers.stub import StubModule


def test_the_readmes_lines_ask_a_trained_module(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scenes = "--data.init_args.scenes={train: 8, val: 1, test: 2}"
    command("fit", "-c", "quickstart", "--scale=tiny", scenes)
    monkeypatch.chdir(tmp_path)
    chapter = (ROOT / "README.md").read_text()
    names: dict = {}
    exec(chapter.partition("```python\n")[2].partition("```")[0], names)
    assert len(capsys.readouterr().out.splitlines()) >= len(names["batches"][0]) > 0
    assert not names["module"].vocabulary.is_empty and not names["module"].training
    file = tmp_path / "runs/quickstart/latest/checkpoints/last.ckpt"
    state = torch.load(file, weights_only=True)["state_dict"]
    assert all(torch.equal(tensor, state[name]) for name, tensor in names["module"].state_dict().items())
    with pytest.raises(ModelError, match=r"make a TinyGiant with: .*'network' and 'phases'.*load_trained"):
        TinyGiant.load_from_checkpoint(file)
    again = TinyGiant.load_from_checkpoint(
        file, network=names["module"].network.config, phases=names["module"].phases
    )
    assert again.vocabulary.words == names["module"].vocabulary.words


def test_a_checkpoint_of_another_shape_is_refused_in_a_sentence(
    tmp_path: Path, stub: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    command("fit", "-c", str(stub), "--model.init_args.width=5", "--model.init_args.epochs=1")
    monkeypatch.chdir(tmp_path)
    module = load_trained("stub")
    assert isinstance(module, StubModule) and module.layers[0].out_features == 5
    with pytest.raises(CheckpointError, match="shape"):
        StubModule.load_from_checkpoint("runs/stub/latest/checkpoints/last.ckpt")
