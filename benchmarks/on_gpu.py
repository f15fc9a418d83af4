"""Figures of one GPU, in at most eight minutes on an H100: nothing is fetched, and nothing rendered.

python -m benchmarks.on_gpu [PART ...]

- `tinygiant`: TinyGiant-64M, training images a second and their share of the measured matrix peak.
- `lora`: Qwen2.5-VL-3B with LoRA on 2,048 tokens, tokens a second, share of the peak, peak memory.
- `distillation`: Qwen2.5-VL 7B -> 3B on 4,096 tokens, the same figures, of logits alone and with attention.
- `straightforward`: such a step of the language models alone, against whole logits and whole maps on the
  longest sequence for which these fit into the memory.
- `data_wait`: the share of the time that TinyGiant-64M waits for its frames, in Lightning's loop.

Shapes are the published ones, weights random. Each figure is one JSON line, printed and appended to
`runs/bench/on_gpu.jsonl` as it is found; the comparison of `straightforward` also goes to
`runs/bench/on_gpu.json`. Several parts run one after the other, each in a process of its own: one that fails,
or for which there is no time, is named among the figures, and the others go on. The exit code is 1 where one
has failed. Without a GPU the same code runs on stand-ins of small shapes, which say nothing of a GPU.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, NamedTuple, get_args

from benchmarks.gpu import needs
from benchmarks.gpu.figures import Figures
from benchmarks.gpu.limits import limit_of, no_time, run_within

Result = Literal["measured", "left out", "failed"]
"""What can become of a part."""

SECONDS = 480.0
"""How long all parts together may take."""


class Part(NamedTuple):
    """Something that is measured.

    Attributes:
        module: where its code is, which is imported when it is its turn.
        function: of that module; takes the machine and the figures.
        share: how many seconds it is to have.
    """

    module: str
    function: str
    share: float


PARTS = {
    "tinygiant": Part("benchmarks.gpu.tinygiant", "measure", 70),
    "lora": Part("benchmarks.gpu.adaptation", "measure_lora", 80),
    "distillation": Part("benchmarks.gpu.adaptation", "measure_distillation", 130),
    "straightforward": Part("benchmarks.gpu.straightforward", "measure", 110),
    "data_wait": Part("benchmarks.gpu.tinygiant", "measure_data_wait", 90),
}
"""In the order in which they are measured."""


@dataclass(frozen=True)
class Asked:
    """What the command line asks for.

    Attributes:
        parts: their names.
        seconds: how long all of them may take.
        stand_ins: measure small shapes on the CPU, even where there is a GPU.
        run: the run that this process measures a part of; None where it is the run.
    """

    parts: list[str]
    seconds: float = SECONDS
    stand_ins: bool = False
    run: str | None = None


def main(arguments: list[str] | None = None) -> int:
    """Measure what is asked for; the result is the exit code."""
    asked = _parsed(arguments)
    if missing := needs.missing():
        print(needs.sentence(missing), file=sys.stderr)
        return 1
    run = asked.run or datetime.now(UTC).isoformat(timespec="seconds")
    if asked.run is None:
        older = [f"{package.name} {package.found} < {package.bound}" for package in needs.below_bound()]
        names = (*needs.INSTALLED, *needs.BROUGHT)
        versions = {name: needs.installed(name) for name in names}
        Figures(run, "versions", asked.seconds).add(versions=versions, below_bound=older)
    if len(asked.parts) == 1:
        return 0 if measure_here(asked.parts[0], Figures(run, asked.parts[0], asked.seconds), asked) else 1
    found = measure_each(asked, run)
    for result in get_args(Result):
        if named := [name for name in found if found[name] == result]:
            print(f"{result}: {', '.join(named)}", file=sys.stderr)
    return 1 if "failed" in found.values() else 0


def measure_here(name: str, figures: Figures, asked: Asked) -> bool:
    """Measure a part in this process; whether it has not failed."""
    try:
        from experiments.errors.libraries import quiet_libraries

        quiet_libraries()
        from benchmarks.gpu.machine import Machine
        from lightning_modules.placement import placed

        machine = Machine.find(asked.stand_ins)
        figures.common |= {
            "device": machine.name,
            "stand_in": not machine.is_gpu,
            "peak_teraflops": machine.peak / 1e12,
        }
        part = PARTS[name]
        measure = getattr(importlib.import_module(part.module), part.function)
        with placed(machine.placement):
            measure(machine, figures)
    except Exception as error:
        traceback.print_exc()
        figures.add(failed=_reason(error))
        return False
    return True


def measure_each(asked: Asked, run: str) -> dict[str, Result]:
    """Measure parts in processes of their own; each is measured, failed or left out."""
    ends = time.monotonic() + asked.seconds
    shares = [PARTS[name].share for name in asked.parts]
    found: dict[str, Result] = {}
    for place, name in enumerate(asked.parts):
        left = ends - time.monotonic()
        seconds = limit_of(place, shares, left)
        if seconds is None:
            Figures(run, name, 0).add(left_out=no_time(shares[place], left))
            found[name] = "left out"
            continue
        command = [*command_of(name), "--seconds", str(seconds), "--run", run]
        code = run_within([*command, *(["--stand-ins"] if asked.stand_ins else [])], seconds)
        if code is None:
            Figures(run, name, 0).add(failed=f"it was ended after {seconds:.0f} s")
        elif code not in (0, 1):
            # With 1 it has said why.
            Figures(run, name, 0).add(failed=f"its process ended with {code}")
        found[name] = "measured" if code == 0 else "failed"
    return found


def command_of(name: str) -> list[str]:
    """What measures a part in a process of its own."""
    return [sys.executable, "-m", "benchmarks.on_gpu", name]


def _reason(error: Exception) -> str:
    """What went wrong, in a line; what a loading process has raised comes with that one's traceback."""
    lines = str(error).strip().splitlines() or [""]
    if lines[0].startswith("Caught "):
        return lines[-1]
    return f"{type(error).__name__}: {lines[0]}"


def _parsed(arguments: list[str] | None) -> Asked:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.on_gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all when left out")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long all of them may take")
    parser.add_argument("--stand-ins", action="store_true", help="small shapes on the CPU, as without a GPU")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.parts if name not in PARTS]:
        parser.error(f"there is no part {unknown[0]!r}; there are {', '.join(PARTS)}.")
    return Asked(options.parts or list(PARTS), options.seconds, options.stand_ins, options.run)


if __name__ == "__main__":
    sys.exit(main())
