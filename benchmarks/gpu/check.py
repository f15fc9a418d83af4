"""All that is asked of a machine with a GPU, within fifteen minutes: what runs there, and how fast.

python -m benchmarks.gpu.check [STEP ...]

The quick start; six tiny experiments on the GPU, one of each kind; the figures of `benchmarks.on_gpu`. Each
has a process of its own and a time that it must not exceed; what fails does not stop the others. What each
says goes to `runs/bench/gpu_check/`, the table to `runs/bench/gpu_check.json`. What is not installed is
named, such as bitsandbytes (4 bits) and embreex (rendering).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.gpu import needs
from benchmarks.gpu.limits import limit_of, no_time, run_within

SECONDS = 900.0
"""How long all steps together may take."""

RESULTS = Path("runs/bench")

EXPERIMENTS = {
    "tinygiant": "warehouse/tinygiant_64m",
    "lora": "small_vlm/smolvlm_500m_lora",
    "four_bits": "distillation/qwen_3b_sft",
    "composed": "small_vlm/encoder_dinov2",
    "attention_kd": "distillation/attention_kd",
    "cached": "distillation/logit_kd_cached",
}
"""What is run at the tiny size, by the name of the step."""

TEACHERS = ("attention_kd", "cached")
"""Those that have a teacher, which can do without 4 bits."""

WITHOUT_FOUR_BITS = (
    "--model.init_args.adapter.four_bit=false",
    "--model.init_args.teacher.four_bit=false",
)

MEANS = {"bitsandbytes": "4 bits", "embreex": "rendering", "trimesh": "rendering"}
"""What cannot be run without a package."""


class Step(NamedTuple):
    """Something that is run.

    Attributes:
        name: what it is called in the table.
        command: what is run.
        share: how many seconds it is to have.
        remark: what is different about it here.
    """

    name: str
    command: tuple[str, ...]
    share: float
    remark: str = ""


class Outcome(NamedTuple):
    """What became of a step.

    Attributes:
        name: of the step.
        result: done, failed, or left out.
        seconds: how long it took.
        says: its score, or why it has failed.
    """

    name: str
    result: str
    seconds: float
    says: str


def steps(accelerator: str) -> list[Step]:
    """The steps in their order.

    Args:
        accelerator: where the experiments run: gpu, or cpu for a rehearsal.
    """
    run = (sys.executable, "-m", "experiments.run", "experiment", "--trainer.accelerator", accelerator)
    without = needs.lacking(["bitsandbytes"])
    found = [Step("quickstart", (*run, "-c", "quickstart"), 210)]
    for name, experiment in EXPERIMENTS.items():
        tiny = [*run, "-c", experiment, "--scale", "tiny", "--name", f"gpu_check/{experiment}"]
        remark = ""
        if name == "cached":
            # Lessons of its own, whatever other teachers have said on this machine.
            tiny.append(f"--model.init_args.teacher.cache=runs/gpu_check/teacher_caches/{time.time():.0f}")
        if name in TEACHERS and without:
            tiny += WITHOUT_FOUR_BITS
            remark = "not in 4 bits, for want of bitsandbytes"
        found.append(Step(name, tuple(tiny), 35, remark))
    return [*found, Step("figures", (sys.executable, "-m", "benchmarks.on_gpu"), 480)]


def run_steps(chosen: Sequence[Step], seconds: float) -> list[Outcome]:
    """Run steps one after the other, and show the table's rows as they come.

    Args:
        chosen: the steps.
        seconds: how long all of them may take.
    """
    ends = time.monotonic() + seconds
    shares = [step.share for step in chosen]
    outcomes = []
    for place, step in enumerate(chosen):
        left = ends - time.monotonic()
        limit = limit_of(place, shares, left)
        if limit is None:
            outcome = Outcome(step.name, "left out", 0.0, no_time(step.share, left))
        else:
            outcome = _run(step, limit)
        print(row(outcome), flush=True)
        outcomes.append(outcome)
    return outcomes


def _run(step: Step, limit: float) -> Outcome:
    said = RESULTS / "gpu_check" / f"{step.name}.log"
    said.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with said.open("w") as file:
        code = run_within(step.command, limit, stdout=file, stderr=file)
    taken = time.monotonic() - began
    if code is None:
        return Outcome(step.name, "failed", taken, f"it was ended after {limit:.0f} s")
    says = last_word(said.read_text(errors="replace"))
    return Outcome(
        step.name, "failed" if code else "done", taken, "; ".join(filter(None, (step.remark, says)))
    )


def last_word(text: str) -> str:
    """The score or the error that a step ends with; its last line where there is neither."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("Score ", "Error: "))]
    return (telling or lines or [""])[-1]


def row(outcome: Outcome) -> str:
    """A row of the table."""
    return f"{outcome.name:<14}{outcome.result:<10}{outcome.seconds:>5.0f} s   {outcome.says}"


def not_installed() -> list[str]:
    """The project's packages that are absent or too old, with what cannot be run without them."""
    return [
        f"{package}{f' ({MEANS[package.name]})' if package.name in MEANS else ''}"
        for package in needs.lacking(needs.bounds())
    ]


def main(arguments: list[str] | None = None) -> int:
    """Run the steps; the result is the exit code."""
    options = _parsed(arguments)
    if options.accelerator == "gpu" and (reason := _no_gpu()):
        print(reason, file=sys.stderr)
        return 1
    absent = not_installed()
    for package in absent:
        print(f"Not as the project demands: {package}", flush=True)
    chosen = [step for step in steps(options.accelerator) if step.name in (options.steps or [step.name])]
    outcomes = run_steps(chosen, SECONDS)
    result: dict[str, Any] = {"not_installed": absent, "steps": [one._asdict() for one in outcomes]}
    (RESULTS / "gpu_check.json").write_text(json.dumps(result, indent=2) + "\n")
    return 1 if any(outcome.result == "failed" for outcome in outcomes) else 0


def _no_gpu() -> str:
    """Why nothing can be run on a GPU, or nothing."""
    if needs.lacking(["torch"]):
        return needs.sentence(needs.lacking(["torch"]))
    import torch

    if torch.cuda.is_available():
        return ""
    return (
        "torch finds no GPU here. `nvidia-smi` shows whether the machine has one and which CUDA its driver "
        f"knows; this torch is {torch.__version__}. `--accelerator cpu` rehearses everything on the CPU."
    )


def _parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu.check",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [step.name for step in steps("gpu")]
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"{', '.join(names)}; all when left out")
    parser.add_argument("--accelerator", choices=("gpu", "cpu"), default="gpu", help="cpu: a rehearsal")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.steps if name not in names]:
        parser.error(f"there is no step {unknown[0]!r}; there are {', '.join(names)}.")
    return options


if __name__ == "__main__":
    sys.exit(main())
