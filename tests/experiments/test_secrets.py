"""Keys and tokens are refused where a run would write them down, and shown nowhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from experiments.errors.plain_errors import explained, plain_errors
from experiments.experiment_files.config_files import compose
from experiments.experiment_files.registry import EXPERIMENTS, read_yaml
from experiments.experiment_files.secrets import SecretInConfiguration, masked, refuse_secrets
from experiments.run_folders.run_folder import RunError
from experiments.study.study_file import read_study
from tests.helpers.cli_in_process import DryRunCLI
from tests.helpers.commands import Command

TOKEN = "zq8Xw2LongSecretOfNobody"
ADDRESS = f"https://me:{TOKEN}@host.example/data"
HUB_FORM = "hf_" + "AbCdEfGhIjKlMnOpQrSt"

IN_A_FILE = {
    "a key by its name": (
        "trainer: {logger: {class_path: CometLogger, init_args: {api_key: abc}}}",
        "api_key",
    ),
    "an address": (f"data: {{init_args: {{root: '{ADDRESS}'}}}}", "data.init_args.root"),
    "the environment's value": (f"data: {{init_args: {{root: '/x/{TOKEN}'}}}}", "data.init_args.root"),
    "its form": (f"name: {HUB_FORM}", "name"),
    "looked up": ("name: ${oc.env:HF_TOKEN}", "HF_TOKEN"),
    "in a list": (f"data: {{init_args: {{views: ['{TOKEN}']}}}}", "data.init_args.views"),
    "in the tiny part": (f"tiny: {{data: {{init_args: {{root: '{TOKEN}'}}}}}}", "tiny.data.init_args.root"),
    "as a number": ("data: {init_args: {password: 12345678}}", "data.init_args.password"),
    "signed": (
        "data: {init_args: {root: 'https://host.example/x?a=1&X-Amz-Signature=0f5c7e'}}",
        "data.init_args.root",
    ),
    "of a cloud": ("name: AIza" + "b7-" * 11 + "zz", "name"),
    "another key by its name": ("trainer: {logger: {init_args: {wandb-api-key: abc}}}", "wandb-api-key"),
    "as a key": (f"data: {{init_args: {{{TOKEN}: 1}}}}", "data.init_args"),
}


@pytest.fixture(autouse=True)
def environment_with_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "WANDB_API_KEY"):
        monkeypatch.setenv(name, TOKEN)


@pytest.mark.parametrize("name", IN_A_FILE)
def test_a_file_with_a_secret_is_refused_without_showing_it(stub: Path, name: str) -> None:
    text, key = IN_A_FILE[name]
    file = stub.with_name("mine.yaml")
    file.write_text(f"starts_from: {stub}\n{text}\n")
    with pytest.raises(SecretInConfiguration, match=r"mine\.yaml is .*environment") as told:
        compose(["fit", "-c", str(file)])
    assert key in str(told.value) and TOKEN not in str(told.value) and HUB_FORM not in str(told.value)


@pytest.mark.parametrize(
    "typed",
    [
        ["--data.root", ADDRESS],
        [f"--data.root={TOKEN}"],
        ["--trainer.logger.init_args.api_key=abc"],
        ["--name", "${oc.env:WANDB_API_KEY}"],
        ["--data", f"{{class_path: CvBench, init_args: {{root: {TOKEN}}}}}"],
    ],
)
def test_a_typed_secret_is_refused_without_showing_it(typed: list[str]) -> None:
    with pytest.raises(SecretInConfiguration, match="of the command line is") as told:
        compose(["fit", "-c", "quickstart", *typed])
    assert TOKEN not in str(told.value)


def test_one_in_a_file_behind_an_option_is_refused(dry_run: type[DryRunCLI], stub: Path) -> None:
    part = stub.with_name("part.yaml")
    part.write_text(f"class_path: tests.helpers.stub.StubData\ninit_args: {{root: {TOKEN}}}\n")
    with pytest.raises(SecretInConfiguration, match=r"data\.init_args\.root of the configuration") as told:
        dry_run(["fit", "-c", str(stub), f"--data={part}"])
    assert TOKEN not in str(told.value)


def test_one_in_a_study_is_refused_before_its_files_are_written(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    settings = {"settings": {"data": {"init_args": {"root": TOKEN}}}}
    content = {
        "name": "s",
        "seeds": [0],
        "baseline": "a",
        "runs": {"a": {"experiment": "quickstart"} | settings},
    }
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(SecretInConfiguration, match=r"runs\.a\.settings"):
        read_study(file)


def test_a_run_writes_and_prints_none_of_the_environments_secrets(
    tmp_path: Path, stub: Path, command: Command
) -> None:
    shown = command(
        *("experiment", "-c", str(stub), "--model.init_args.epochs=1"),
        HF_TOKEN=TOKEN,
        WANDB_API_KEY=TOKEN,
        WANDB_MODE="disabled",
        HF_ENDPOINT=ADDRESS,
    )
    printed = command("print", "-c", str(stub), HF_TOKEN=TOKEN, WANDB_API_KEY=TOKEN)
    texts = [shown.stdout, shown.stderr, printed.stdout, printed.stderr]
    files = [file for file in (tmp_path / "runs").rglob("*") if file.is_file()]
    assert {"config.yaml", "run.json", "results.json", "report.html", "metrics.csv", "last.ckpt"} <= {
        file.name for file in files
    }
    assert not [file for file in files if TOKEN.encode() in file.read_bytes()]
    assert not any(TOKEN in text for text in texts)


def test_a_command_is_written_down_without_what_looks_like_a_token(
    dry_run: type[DryRunCLI], stub: Path
) -> None:
    named = stub.rename(stub.with_name(f"{HUB_FORM}.yaml"))
    card = dry_run(["fit", "-c", str(named)]).folder.read_card()
    assert HUB_FORM not in json.dumps(card) and "***.yaml" in card["command"]


def test_no_error_shows_one(capsys: pytest.CaptureFixture[str]) -> None:
    said = explained(RunError(f"{ADDRESS} does not answer to {TOKEN}, {HUB_FORM}."))
    assert said == "https://***@host.example/data does not answer to ***, ***."
    with pytest.raises(SystemExit), plain_errors():
        raise RunError(f"{ADDRESS} does not answer.")
    assert TOKEN not in capsys.readouterr().err
    assert TOKEN not in str(explained(PermissionError(13, "no", f"/x/{TOKEN}")))


@pytest.mark.parametrize("text", ["https://host/a@b", "a@b.c", "hf_short", "user/model@main", "sk-learn", ""])
def test_what_is_no_secret_stays(text: str) -> None:
    assert masked(text) == text
    refuse_secrets({"root": text, "token": None, "image_tokens": 3, "pad_token": "<pad>"}, "here")


def test_short_words_of_the_environment_are_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "quick")
    assert masked("quickstart") == "quickstart"


def test_the_shipped_files_hold_none() -> None:
    for file in EXPERIMENTS.rglob("*.yaml"):
        read_yaml(file)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "PGPASSWORD",
            "MYSQL_PWD",
            "DB_PASS",
            "GITHUB_PAT",
            "SSH_PASSPHRASE",
            "AZURE_STORAGE_KEY",
            "S3_KEY",
        ),
        *("hf_token", "CI_JOB_TOKEN", "GOOGLE_CREDENTIALS", "AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_variables_that_hold_secrets_are_known(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "quite-a-passphrase")
    assert masked("It said quite-a-passphrase.") == "It said ***."
    with pytest.raises(SecretInConfiguration, match=rf"the value of {name}|a token"):
        refuse_secrets({"name": f"${{oc.env:{name}}}"}, "mine.yaml")


@pytest.mark.parametrize("name", ["PWD", "OLDPWD", "KEYBOARD", "PATH", "TOKENIZERS_PARALLELISM", "COMPASS"])
def test_others_are_shown(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "quite-a-folder")
    assert masked("It said quite-a-folder.") == "It said quite-a-folder."


@pytest.mark.parametrize("key", ["pad_token", "image_token", "tokens", "key", "keys", "monkey", "pass"])
def test_words_that_only_look_like_secrets_are_taken(key: str) -> None:
    refuse_secrets({"model": {"init_args": {key: "<image>"}}, "data": {key: 12345678}}, "mine.yaml")
