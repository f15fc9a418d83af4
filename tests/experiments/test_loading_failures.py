"""Loading workers that die, hang or lack something are told of in a sentence."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import get_worker_info

from datamodules.samples import SpatialSample
from experiments.command_line.preconditions import require_open_files
from experiments.errors.loading import loading_failed
from experiments.run_folders.run_folder import RunError
from tests.helpers.listed_data import ListedData

KILLED = "DataLoader worker (pid 12) is killed by signal: Killed. "
BUS_ERROR = (
    "DataLoader worker (pid 12) is killed by signal: Bus error. It is possible that dataloader's workers "
    "are out of shared memory."
)
GONE = "DataLoader worker (pid(s) 12, 13) exited unexpectedly"
LATE = "DataLoader timed out after 30 seconds"
NO_ROOM = (
    "Caught RuntimeError in DataLoader worker process 0.\nunable to allocate shared memory(shm) for file "
)
FULL = f"{NO_ROOM}</torch_7_8_0>: No space left on device (28)"
MANY = f"{NO_ROOM}</torch_7_8_0>: Too many open files (24)"


@pytest.mark.parametrize(
    ("text", "asked", "words"),
    [
        (KILLED, (12,), ["was killed while it read a.png (questions q1)", "num_workers", "memory"]),
        (BUS_ERROR, (12,), ["a.png", "/dev/shm", "--shm-size"]),
        (GONE, (12, 13), ["has ended while it read a.png", "num_workers"]),
        (LATE, (), ["no batch for 30 seconds", "loading_timeout_s", "a.png", "/dev/shm", "ulimit -n"]),
        ("received 0 items of ancdata", (), ["has ended or", "a.png", "num_workers", "ulimit -n"]),
        (FULL, None, ["/dev/shm", "--shm-size"]),
        (MANY, None, ["ulimit -n"]),
    ],
)
def test_what_torch_says_becomes_a_sentence_with_what_to_do(
    text: str, asked: tuple[int, ...] | None, words: list[str]
) -> None:
    about: list[tuple[int, ...]] = []

    def being_read(processes: Collection[int]) -> str:
        about.append(tuple(processes))
        return "a.png (questions q1)"

    raised = RuntimeError("in the end")
    raised.__context__ = RuntimeError(text)  # as it is raised while something else is done
    said = str(loading_failed(raised, being_read))
    assert not [word for word in words if word not in said], said
    assert about == ([] if asked is None else [asked])


def test_a_batch_whose_worker_is_gone_is_told_from_other_ends_of_files() -> None:
    def fetch() -> None:
        raise EOFError

    code = compile("fetch()", "reductions.py", "exec")
    with pytest.raises(EOFError) as raised:
        exec(code, {"__name__": "torch.multiprocessing.reductions", "fetch": fetch})
    failed = loading_failed(raised.value, lambda _: "a.png")
    assert str(failed).startswith("A data-loading worker has ended; they read a.png. ")
    assert loading_failed(EOFError(), lambda _: "a.png") is None


def test_other_errors_are_left_alone() -> None:
    assert loading_failed(RuntimeError("shapes do not match"), lambda _: "") is None


def test_a_limit_of_open_files_is_raised_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [(40, 40)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: limits.append(wanted))
    require_open_files(0)
    with pytest.raises(RunError, match=r"may open 40 files here, but .*num_workers is 1.* `ulimit -n 4096`"):
        require_open_files(1)
    limits[:] = [(40, 1000)]
    require_open_files(1)
    assert limits[-1] == (1000, 1000)
    limits[:] = [(40, resource.RLIM_INFINITY)]
    require_open_files(8)
    assert limits[-1] == (4096, resource.RLIM_INFINITY)
    require_open_files(1)
    assert len(limits) == 2


@dataclass(frozen=True)
class Fatal:
    """An image that does something to whatever opens it."""

    name: str
    happens: Callable[[], object]

    def open(self) -> Image.Image:
        self.happens()
        return Image.new("RGB", (8, 8))


def no_harm() -> None:
    """What most images do."""


def killed() -> None:
    assert get_worker_info() is not None
    os.kill(os.getpid(), signal.SIGKILL)


def hangs() -> None:
    time.sleep(30)


def without_room() -> None:
    def refused(tensor: Tensor) -> None:
        raise RuntimeError(FULL)

    torch.Tensor.share_memory_ = refused  # type: ignore[method-assign]


def zeros(samples: Sequence[SpatialSample]) -> dict[str, Any]:
    return {"images": torch.zeros(len(samples))}


@pytest.mark.parametrize(
    ("happens", "words"),
    [
        (killed, ["while it read first.png (questions first-0, first-1)", "num_workers"]),
        (hangs, ["no batch for 5 seconds", "They read first.png (questions first-0, first-1)"]),
        (without_room, ["/dev/shm"]),
    ],
)
def test_a_worker_that_fails_names_what_it_read(happens: Callable[[], None], words: list[str]) -> None:
    samples = [
        SpatialSample(
            id=f"{name}-{number}",
            question="?",
            group=name,
            image=Fatal(f"{name}.png", happens if name == "first" else no_harm),
        )
        for name in ("first", "second", "third", "fourth")
        for number in (0, 1)
    ]
    data = ListedData(samples, num_workers=2, batch_size=1, loading_timeout_s=5)
    data.collator = zeros
    with pytest.raises(RuntimeError) as raised:
        for _ in data.test_dataloader():
            pass
    failed = loading_failed(raised.value, data.being_read)
    assert failed is not None, raised.value
    assert not [word for word in words if word not in str(failed)], failed
