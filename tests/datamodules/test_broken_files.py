"""Files that are not what they should be: another encoding, a pointer, a web page, half of one."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from datamodules.files.parquet_rows import parquet_rows
from datamodules.files.text_files import read_json, read_text
from datamodules.samples import DataError
from datamodules.scoring.prediction_files import read_predictions
from experiments.commands.fetch import main as fetch
from experiments.errors.plain_errors import explained, plain_errors
from tests.helpers.broken_contents import INSTEAD, PAGE, POINTER

ANSWERS = [{"id": "a", "answer": "Bücher"}]


def test_a_byte_order_mark_is_no_part_of_a_text(tmp_path: Path) -> None:
    file = tmp_path / "text"
    file.write_bytes("\ufeffname: größer".encode())
    assert read_text(file) == "name: größer"


def test_another_encoding_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "text.json"
    file.write_bytes('{"name":\n"größer"}'.encode("latin-1"))
    with pytest.raises(
        DataError, match=r"text\.json is no UTF-8 text \(byte 0xf6 in line 2\): save it as UTF-8"
    ):
        read_json(file)


@pytest.mark.parametrize("word", INSTEAD)
@pytest.mark.parametrize(
    ("read", "kind"),
    [
        (read_json, "well-formed JSON"),
        (lambda file: list(parquet_rows(file, ["id"])), "a readable Parquet file"),
    ],
    ids=["json", "parquet"],
)
def test_what_stands_in_place_of_a_file_is_named(
    read: Callable[[Path], object], kind: str, word: str, tmp_path: Path
) -> None:
    file = tmp_path / "content"
    file.write_bytes(INSTEAD[word])
    with pytest.raises(DataError, match=f"content is not {kind}.*{word}"):
        read(file)


@pytest.mark.parametrize("name", ["answers.json", "answers.jsonl"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_predictions_are_read_with_and_without_a_byte_order_mark(
    name: str, start: str, tmp_path: Path
) -> None:
    file = tmp_path / name
    content = ANSWERS if name.endswith(".json") else ANSWERS[0]
    file.write_text(start + json.dumps(content, ensure_ascii=False), encoding="utf-8")
    assert read_predictions(file)["a"].text == "Bücher"


@pytest.mark.parametrize("name", ["answers.json", "answers.jsonl"])
@pytest.mark.parametrize(
    "content", [json.dumps(ANSWERS, ensure_ascii=False).encode("latin-1"), PAGE, POINTER]
)
def test_predictions_that_cannot_be_read_are_refused(name: str, content: bytes, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(content.strip(b"[]") if name.endswith("l") else content)
    with pytest.raises(DataError, match=str(file)):
        read_predictions(file)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "There is no space left on the disk (there; "),
        (errno.EACCES, "may not read or write there (there)"),
        (errno.EROFS, "read-only"),
        (errno.ENOTDIR, "A file stands where a folder is needed (there)"),
    ],
)
def test_what_the_machine_refuses_is_a_sentence(number: int, words: str) -> None:
    refused = OSError(number, os.strerror(number), "there")
    assert words in str(explained(refused))
    wrapped = RuntimeError("around it")
    wrapped.__cause__ = refused
    assert words in str(explained(wrapped))


def test_a_file_that_is_there_already_is_no_folder_in_the_way(tmp_path: Path) -> None:
    assert explained(FileExistsError(errno.EEXIST, "exists", str(tmp_path))) is None
    assert explained(FileNotFoundError(errno.ENOENT, "no such file", "weights")) is None


def test_ctrl_c_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="130"), plain_errors(interrupted="Begin again."):
        raise KeyboardInterrupt
    assert capsys.readouterr().err.strip() == "Interrupted. Begin again."


class _LoginPage(BaseHTTPRequestHandler):
    """What a network answers in everybody's place until one has logged in."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(PAGE)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def portal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A login page where this process looks for the hub."""
    from huggingface_hub import constants

    server = ThreadingHTTPServer(("127.0.0.1", 0), _LoginPage)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    yield
    server.shutdown()
    server.server_close()


def test_a_login_page_in_the_place_of_the_hub_is_recognised(
    portal: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="1"):
        fetch(["--name", "cv_bench", "--to", str(tmp_path / "copy")])
    assert "What answers in the hub's place is not the hub" in capsys.readouterr().err
