"""One reader and many mutated inputs: how many it has read, how many it has refused, and by which error."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy

from experiments.errors.plain_errors import explained
from tests.fuzz.watching import OUTSIDE, STRANGER, Hung, Watch

LONGEST_MESSAGE = 4_000
SECONDS_FOR_ONE = 5.0
READ = "read"

_watch: list[Watch] = []


@dataclass(frozen=True)
class Target:
    """A reader and what is put into it.

    Attributes:
        name: what it is called in the table.
        inputs: the mutated inputs.
        read: puts one into a folder and reads it.
        prepare: writes what lies beside it, once.
        cost: how many inputs of the usual kind take as long as one of these.
    """

    name: str
    inputs: SearchStrategy[Any]
    read: Callable[[Any, Path], object]
    prepare: Callable[[Path], object] = lambda folder: None
    cost: int = 1


@dataclass
class Trial:
    """What has become of a target's inputs.

    Attributes:
        target: the target.
        outcomes: how many were read, and how many were refused by each of the named errors.
        wrong: what must not be, by a short name, with the shortest input that leads there.
    """

    target: Target
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: dict[str, tuple[int, Any]] = field(default_factory=dict)

    def run(self, examples: int, derandomize: bool = True) -> Trial:
        """Try so many inputs, in a folder of their own."""
        # What is loaded late is loaded before anybody looks.
        if not _watch:
            _watch.append(Watch())
        with _place() as folder:
            self.target.prepare(folder)

            @settings(
                max_examples=max(1, examples // self.target.cost),
                derandomize=derandomize,
                database=None,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(self.target.inputs)
            def each(content: Any) -> None:
                self._try(content, folder)

            each()
        return self

    def _try(self, content: Any, folder: Path) -> None:
        said = ""
        try:
            with _watch[0].on(folder, SECONDS_FOR_ONE):
                self.target.read(content, folder)
            outcome = READ
        except Hung:
            outcome, said = "hangs", _where(sys.exc_info()[1])
        except hypothesis.errors.HypothesisException:
            raise
        except Exception as error:
            outcome = type(error).__name__
            sentence = explained(error)
            if sentence is None:
                said = f"{outcome}: {str(error)[:120]} at {_where(error)}"
            elif len(sentence) > LONGEST_MESSAGE:
                said = f"a sentence of {len(sentence):,} letters at {_where(error)}"
        if _watch[0].seen:
            said = f"{_watch[0].seen[0]} ({outcome})"
        if said or outcome == "hangs":
            self._note(said or outcome, content)
        else:
            self.outcomes[outcome] += 1

    def _note(self, said: str, content: Any) -> None:
        place = said.rpartition(" at ")[2] or said
        size = len(content) if hasattr(content, "__len__") else len(repr(content))
        known = {other.rpartition(" at ")[2]: other for other in self.wrong}
        if place not in known:
            self.wrong[said] = (size, content)
        elif size < self.wrong[known[place]][0]:
            del self.wrong[known[place]]
            self.wrong[said] = (size, content)
        self.outcomes["anything else"] += 1

    def __str__(self) -> str:
        """A line of the table."""
        refused = sorted(
            (name, count) for name, count in self.outcomes.items() if name not in (READ, "anything else")
        )
        named = ", ".join(f"{count:,} {name}" for name, count in refused) or "none"
        return (
            f"{self.target.name:32} {self.outcomes.total():7,} tried, {self.outcomes[READ]:7,} read, "
            f"refused: {named}; anything else: {self.outcomes['anything else']:,}"
        )


@contextmanager
def _place() -> Iterator[Path]:
    """An empty folder in which a reader works, with one beside it that nobody may look into."""
    here, cache, bytecode = Path.cwd(), os.environ.get("XDG_CACHE_HOME"), sys.dont_write_bytecode
    with tempfile.TemporaryDirectory() as temporary:
        folder, outside = Path(temporary, "folder"), Path(temporary, OUTSIDE)
        for each in (folder, outside):
            each.mkdir()
        for name in ("secret.png", "secret.json", "secret.yaml", "data.json"):
            (outside / name).write_text("{}")
        (outside / f"{STRANGER}.py").write_text("class Network: pass\n")
        (folder / "leads_out").symlink_to(outside)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        sys.dont_write_bytecode = True
        sys.path.append(str(outside))
        os.chdir(folder)
        try:
            yield folder
        finally:
            os.chdir(here)
            sys.path.remove(str(outside))
            sys.dont_write_bytecode = bytecode
            os.environ.pop("XDG_CACHE_HOME")
            if cache is not None:
                os.environ["XDG_CACHE_HOME"] = cache


def _where(error: BaseException | None) -> str:
    """The innermost line of this project in which an error was raised."""
    frames = traceback.extract_tb(error.__traceback__) if error else []
    ours = [
        frame
        for frame in frames
        if "site-packages" not in frame.filename and "/lib/python" not in frame.filename
    ]
    ours = [frame for frame in ours if "/tests/" not in frame.filename] or ours
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"
