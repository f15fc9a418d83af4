"""A configuration names classes of this project and its libraries, and others only where the user says so."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from experiments.errors.parser_errors import RefusedOption
from experiments.experiment_files.allowed_classes import (
    ALLOWED,
    REFUSED,
    REMOTE_CODE,
    enforce,
    is_allowed,
    refuse_remote_code,
)
from experiments.experiment_files.class_names import CLASSES, whole_path
from experiments.experiment_files.config_files import compose
from experiments.experiment_files.registry import EXPERIMENTS
from experiments.lightning_internals import PreparedCLI
from experiments.run_folders.run_folder import RunError, RunFolder
from experiments.study.study_file import read_study
from experiments.study.study_run import seeded_runs
from experiments.trained import load_trained, make_module
from tests.helpers.cli_in_process import DryRunCLI
from tests.helpers.commands import ROOT, Command
from tests.helpers.stub import StubModule

NETWORK = """
from pathlib import Path

Path(__file__).with_suffix(".ran").touch()

from tests.helpers.stub import StubModule


class Network(StubModule):
    pass


def make_optimizer(parameters):
    pass
"""
LAMBDA = "lightning.pytorch.callbacks.LambdaCallback"


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module that leaves a file when it is imported; the file."""
    (tmp_path / "stranger.py").write_text(NETWORK)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "stranger.ran"
    sys.modules.pop("stranger", None)
    enforce(())


def refused(stub: Path, more: str, *typed: str) -> str:
    file = stub.with_name("mine.yaml")
    file.write_text(f"starts_from: {stub}\n{more}\n")
    with pytest.raises(RunError) as told:
        DryRunCLI(["fit", "-c", str(file), *typed])
    return str(told.value)


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ("model: {class_path: stranger.Network}", "model.class_path of mine.yaml names stranger.Network"),
        ("model: stranger.Network", "model of mine.yaml"),
        (
            "model: {init_args: {optimizer: stranger.make_optimizer}}",
            "model.init_args.optimizer of mine.yaml",
        ),
        (
            "model: {init_args: {optimizer: {class_path: stranger.make_optimizer}}}",
            "model.init_args.optimizer.class_path of mine.yaml",
        ),
        ("data: {init_args: {views: [stranger.Network]}}", "data.init_args.views[0] of mine.yaml"),
        ("trainer: {callbacks: [{class_path: stranger.Network}]}", "trainer.callbacks[0].class_path of mine"),
        ("trainer: {logger: [stranger.Network]}", "trainer.logger[0] of mine.yaml"),
        ("trainer: {plugins: {class_path: stranger.Network}}", "trainer.plugins.class_path of mine.yaml"),
        ("trainer: {strategy: {class_path: stranger.Network}}", "trainer.strategy.class_path of mine.yaml"),
        ("trainer: {profiler: {class_path: stranger.Network}}", "trainer.profiler.class_path of mine.yaml"),
        (
            f"trainer: {{callbacks: {{class_path: {LAMBDA}, init_args: {{on_fit_end: stranger.Network}}}}}}",
            "trainer.callbacks.init_args.on_fit_end of mine.yaml",
        ),
    ],
)
def test_a_class_from_elsewhere_is_refused_before_it_is_imported(
    dry_run: type[DryRunCLI], stub: Path, stranger: Path, more: str, where: str
) -> None:
    said = refused(stub, more)
    assert where in said and "stranger." in said
    assert "--allow stranger" in said and "ALLOW=stranger" in said
    assert not stranger.exists()


@pytest.mark.parametrize("typed", ["--model=stranger.Network", "--model.optimizer=stranger.make_optimizer"])
def test_a_typed_class_is_refused_as_well(
    dry_run: type[DryRunCLI], stub: Path, stranger: Path, typed: str
) -> None:
    said = refused(stub, "", typed)
    assert "of the command line names stranger." in said and "--allow stranger" in said
    assert not stranger.exists()


def test_so_is_one_in_a_tiny_part_an_ancestor_or_a_file_behind_an_option(
    dry_run: type[DryRunCLI], stub: Path, stranger: Path
) -> None:
    named = "model: {class_path: stranger.Network}"
    assert "tiny.model.class_path of mine.yaml" in refused(stub, f"tiny: {{{named}}}", "--scale=tiny")
    ancestor = stub.with_name("ancestor.yaml")
    ancestor.write_text(f"starts_from: {stub}\n{named}\n")
    assert "model.class_path of ancestor.yaml" in refused(ancestor, "name: child")
    part = stub.with_name("part.yaml")
    part.write_text("class_path: stranger.Network\n")
    assert "--allow stranger" in refused(stub, "", f"--model={part}")
    assert not stranger.exists()


@pytest.mark.parametrize(
    ("path", "package"),
    [("torch.hub.load", "torch.hub"), ("torch.load", "torch"), ("torch.os.system", "posix")],
)
def test_what_reads_or_runs_code_is_refused_within_the_libraries_too(
    dry_run: type[DryRunCLI], stub: Path, path: str, package: str
) -> None:
    callback = f"{{class_path: {LAMBDA}, init_args: {{on_fit_end: {path}}}}}"
    assert f"--allow {package} " in refused(stub, f"trainer: {{callbacks: [{callback}]}}")


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("torch.utils.collect_env.run", "torch.utils.collect_env.run"),
        ("torch.storage._load_from_bytes", "torch.storage._load_from_bytes"),
        ("torch._utils._import_dotted_name", "torch._utils._import_dotted_name"),
        ("timm.create_model", "timm.models._factory.create_model"),
        ("experiments.run_folders.run_folder.write_whole", "experiments.run_folders.run_folder.write_whole"),
        ("lightning_modules.weights_digest.digest_of", "lightning_modules.weights_digest"),
        ("datamodules.samples.Region.from_mask", "datamodules.samples.Region.from_mask"),
    ],
)
def test_few_functions_may_be_named(dry_run: type[DryRunCLI], stub: Path, path: str, named: str) -> None:
    callback = f"{{class_path: {LAMBDA}, init_args: {{on_fit_end: {path}}}}}"
    assert f"names {named}" in refused(stub, f"trainer: {{callbacks: [{callback}]}}")


COMMAND_IN_DATA = """
data:
  class_path: lightning.pytorch.LightningDataModule.from_datasets
  init_args:
    train_dataset:
      class_path: torch.utils.data.datapipes.iter.callable.MapperIterDataPipe
      init_args:
        datapipe:
          class_path: torch.utils.data.datapipes.iter.utils.IterableWrapperIterDataPipe
          init_args: {iterable: ["touch ran"]}
        fn: torch.utils.collect_env.run
"""
NAMED_RUN = (
    "model: {class_path: experiments.trained.load_trained, init_args: {named: run, allow: [stranger]}}"
)


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (COMMAND_IN_DATA, "LightningDataModule.from_datasets"),
        ("data: {init_args: {views: [torch.utils.data.datapipes.iter.Mapper]}}", "datapipes"),
        (NAMED_RUN, "experiments.trained.load_trained"),
        (NAMED_RUN.replace("load_trained", "TrainedRun"), "experiments.trained"),
        ("model: {class_path: experiments.lightning_internals.PreparedCLI}", "PreparedCLI"),
        (
            "model: {class_path: lightning.pytorch.LightningModule.load_from_checkpoint}",
            "load_from_checkpoint",
        ),
    ],
)
def test_no_file_has_a_command_run_or_another_file_trusted(
    dry_run: type[DryRunCLI], stub: Path, more: str, named: str
) -> None:
    said = refused(stub, more)
    assert named in said and "--allow" in said


def test_functions_that_make_a_part_of_a_model_may_be_named(dry_run: type[DryRunCLI], stub: Path) -> None:
    for path in ("torch.nn.functional.relu", "torch.nn.functional.gelu", "timm.optim.create_optimizer_v2"):
        file = stub.with_name("mine.yaml")
        callback = f"{{class_path: {LAMBDA}, init_args: {{on_fit_end: {path}}}}}"
        file.write_text(f"starts_from: {stub}\ntrainer: {{callbacks: [{callback}]}}\n")
        DryRunCLI(["fit", "-c", str(file)])


def test_a_value_of_any_type_is_never_made_an_instance(
    dry_run: type[DryRunCLI], stub: Path, stranger: Path
) -> None:
    stub.write_text(f"{stub.read_text()}\ntiny: {{model: {{class_path: stranger.Network}}}}\n")
    dry_run(["fit", "-c", str(stub)])  # at the full size nobody reads the tiny part
    assert not stranger.exists()


def test_the_user_may_allow_a_package(dry_run: type[DryRunCLI], stub: Path, stranger: Path) -> None:
    typed = ["fit", "-c", str(stub), "--model=stranger.Network", "--allow=stranger"]
    cli = dry_run(typed)
    assert stranger.exists() and isinstance(cli.model, StubModule)
    assert type(cli.model).__name__ == "Network"
    assert cli.folder.read_card()["allowed"] == ["stranger", "tests.helpers"]
    assert cli._resume_command().endswith("--allow stranger --allow tests.helpers")
    with pytest.raises(RefusedOption, match=r"names stranger\.Network"):
        dry_run(typed[:-1])  # allowed for one command alone


def test_no_file_allows_anything(dry_run: type[DryRunCLI], stub: Path, stranger: Path) -> None:
    said = refused(stub, "allow: [stranger]\nmodel: {class_path: stranger.Network}")
    assert "mine.yaml has the key `allow`" in said and "--allow PACKAGE" in said
    assert not stranger.exists()


@pytest.mark.parametrize(
    "package", ["*", "", "jsonargparse", "jsonargparse.set_parsing_settings", "a/b", "a."]
)
def test_what_is_no_package_is_not_allowed(package: str) -> None:
    with pytest.raises(RunError, match="--allow"):
        compose(["fit", "-c", "quickstart", f"--allow={package}"])


def test_checkpoints_are_never_opened_with_code(dry_run: type[DryRunCLI], stub: Path) -> None:
    for value in ("false", "null"):
        assert "weights_only is" in refused(stub, f"weights_only: {value}")


def test_a_run_is_resumed_and_loaded_with_the_same_permission(
    tmp_path: Path, stub: Path, command: Command, stranger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = ["fit", "-c", str(stub), "--model=stranger.Network", "--model.epochs=1"]
    shown = command(*typed, "--allow=stranger", PYTHONPATH=f"{tmp_path}:{ROOT}").stdout
    folder = RunFolder((tmp_path / "runs/stub/latest").resolve())
    assert "--allow stranger" in shown and "stranger, tests.helpers" in shown
    assert "allow" not in yaml.safe_load(folder.config.read_text())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RefusedOption, match=r"model.class_path of runs/stub/.*config.yaml names stranger"):
        DryRunCLI(["fit", "--resume", str(folder.path)])
    with pytest.raises(RefusedOption, match=r"names stranger\.Network"):
        load_trained("stub")
    assert type(load_trained("stub", allow=["stranger"])).__name__ == "Network"


def test_a_study_hands_the_permission_to_its_runs(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text("name: s\nseeds: [0]\nbaseline: a\nruns: {a: {experiment: quickstart}}\n")
    (run,) = seeded_runs(read_study(file, allowed=["mine"]))
    assert run.command[-2:] == ["--allow", "mine"]


def test_the_longest_known_name_decides() -> None:
    assert is_allowed("torch.optim.AdamW") and is_allowed("torchmetrics.Metric") is False
    assert not is_allowed("torch.hub.load") and not is_allowed("torches.optim")
    assert all(is_allowed(whole_path(name)) for name in CLASSES)
    assert all(path.split(".")[0] in ALLOWED for path in REFUSED)


def test_all_classes_of_the_shipped_files_are_allowed() -> None:
    def named(tree: object) -> Iterator[str]:
        if isinstance(tree, dict):
            yield from (value for key, value in tree.items() if key == "class_path")
        for value in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
            yield from named(value)

    paths = {path for file in EXPERIMENTS.rglob("*.yaml") for path in named(yaml.safe_load(file.read_text()))}
    assert len(paths) > 5 and all(is_allowed(whole_path(path)) for path in paths)


def test_the_cli_sets_the_rules_by_itself(stub: Path, stranger: Path) -> None:
    """Whatever was allowed in this process before."""
    from experiments.command_line.cli import SpatialCLI

    class Prepared(PreparedCLI, SpatialCLI):
        pass

    enforce(["stranger", "tests.helpers"])
    with pytest.raises(RefusedOption, match=r"names tests\.helpers\.stub\.Stub"):
        Prepared(compose(["fit", "-c", str(stub)]))


def test_code_that_comes_with_a_model_is_run_where_it_was_allowed() -> None:
    typed = ["fit", "-c", "small_vlm/smolvlm_500m_lora", "--model.trust_remote_code=true"]
    with pytest.raises(RunError, match=r"init_args.trust_remote_code is true.*--allow transformers_modules"):
        DryRunCLI(typed)
    settings = {"class_path": "tests.helpers.stub.StubModule", "init_args": {"trust_remote_code": True}}
    with pytest.raises(RunError, match=r"model.init_args.trust_remote_code is true"):
        make_module(settings)
    refuse_remote_code({"model": {"trust_remote_code": False, "tied": True}})
    enforce((REMOTE_CODE,))
    refuse_remote_code({"model": settings})
    enforce(())
