"""The Python way to what a run has trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from experiments.run_folders.run_folder import RunError, RunFolder
from experiments.trained import load_trained
from lightning_modules.base import ModelError
from lightning_modules.checkpoints import CheckpointError
from lightning_modules.tiny_giant.module import TinyGiant
from tests.helpers.commands import ROOT, Command
from tests.helpers.plain_halves import PlainModule
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
    module = load_trained("stub", allow=["tests.helpers"])
    assert isinstance(module, StubModule) and module.layers[0].out_features == 5
    with pytest.raises(CheckpointError, match="shape"):
        StubModule.load_from_checkpoint("runs/stub/latest/checkpoints/last.ckpt")


def write_run(folder: RunFolder, module: nn.Module, tested: str, **states: dict[str, torch.Tensor]) -> str:
    """A run's folder with checkpoints of these names."""
    folder.write_card({"subcommand": "fit"})
    settings = {"class_path": f"{type(module).__module__}.{type(module).__name__}", "init_args": {}}
    folder.config.write_text(yaml.safe_dump({"name": "x", "tested": tested, "model": settings}))
    folder.checkpoint.parent.mkdir()
    for name, state in states.items():
        checkpoint = {"state_dict": state, "pytorch-lightning_version": "2.6.0"}
        torch.save(checkpoint, folder.checkpoint.with_stem(name))
    return str(folder.path)


@pytest.mark.parametrize("kind", [StubModule, PlainModule])
def test_what_is_loaded_is_what_was_tested(tmp_path: Path, kind: type[nn.Module]) -> None:
    last, best = (kind().state_dict() for _ in range(2))
    for tested, both, expected in (
        ("last", {"last": last, "best": best}, last),
        ("best", {"last": last, "best": best}, best),
        ("best", {"last": last}, last),  # nothing was validated
    ):
        folder = RunFolder(tmp_path / f"{tested}{len(both)}")
        module = load_trained(write_run(folder, kind(), tested, **both), allow=["tests.helpers"])
        assert not module.training
        assert module.state_dict().keys() == expected.keys()
        assert all(torch.equal(tensor, expected[name]) for name, tensor in module.state_dict().items())


@pytest.mark.parametrize("kind", [StubModule, PlainModule])
def test_a_checkpoint_that_lacks_a_tensor_is_refused_in_a_sentence(
    tmp_path: Path, kind: type[nn.Module]
) -> None:
    whole = kind().state_dict()
    lacking = {name: tensor for name, tensor in whole.items() if name != list(whole)[-1]}
    folder = RunFolder(tmp_path / "run")
    named = write_run(folder, kind(), "last", last=lacking)
    with pytest.raises(CheckpointError, match=list(whole)[-1]):
        load_trained(named, allow=["tests.helpers"])
    folder.checkpoint.unlink()
    with pytest.raises(RunError, match=r"last\.ckpt is missing"):
        load_trained(named, allow=["tests.helpers"])
