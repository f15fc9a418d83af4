"""Measures what an answer of a run costs, into its folder `latency/`.

`latency.json` holds, with all times in seconds:

- `run`: what the page says of the run: name, facts, score, card.
- `of`: what was measured, to tell whether it has been: `checkpoint` (a digest, or null where the model was
  asked as it begins), `config` (a digest of the run's `config.yaml`), `questions` (how many were wanted).
- `stages`: their names; they partition the time from end to end: `decode`, `preprocess`, `vision`, `prefill`,
  `decoding`. Of a module that does not tell its parts these are `decode`, `preprocess`, `answer`, and
  `divided` is false. `meanings` says what belongs to each.
- `one_question`: the first question of the test, again and again; `over_the_set`: different questions,
  evenly spread. Each has `n`, `warm_up_runs`, and `rows`: by stage, and under `end_to_end`, `mean`, `p50`,
  `p95` with
  `p50_interval`, `p95_interval` (`[low, high]`, null where there are too few timings for one). With fewer
  than 60 timings each `p95` is null and `p95_refused` says why; else that is null. `tokens_in`,
  `image_tokens`, `tokens_out` and `examples` are each `{mean, least, most}` a question, null where not known;
  `image_share` (0 to 1) is the images' share of all tokens that were read. `timings` has every single one:
  `{question, <stage> ..., end_to_end}`.
- `questions_of_test`: how many questions the test has. `percentile`: how a percentile is taken.
- `images_shared`: false, and `images_shared_why`.
- `answering`: how the module answers (`rank`, `generate` ...), null where it has no such word.
- `memory`: `{peak_gb, of}`. `machine`: `device`, `accelerator`, `cores`, `threads`, `precision`, `dtype`,
  `versions`, `load_before`, `load_after` (averages over 1, 5 and 15 minutes, or null).
- `busy`: a sentence where other work used the machine when it began, else null.
- `seconds`: how long all of it took. `notes`: the sentences on how it was measured.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from datamodules.statistics.quantile_intervals import METHOD
from experiments.latency.figures import figure
from experiments.latency.kept import file_of, what_is_measured
from experiments.latency.machine import machine
from experiments.latency.measuring import ONE_QUESTION, OVER_THE_SET, take_timings
from experiments.latency.notes import IMAGES_SHARED, busy, notes
from experiments.latency.page import write_page
from experiments.latency.stages import END_TO_END, MEANINGS, UNDIVIDED
from experiments.run_folders.run_folder import RunFolder, write_whole
from experiments.tested import AsTested, card_of, tested

Result = dict[str, Any]
"""The content of `latency.json`."""


def measure(run: RunFolder, questions: int, said: Callable[[str], object] = print) -> Result:
    """Measure a run, and write `latency.json` and `latency.html` into its folder `latency/`.

    Args:
        run: the run.
        questions: how often the one question is asked, and how many are asked over the set.
        said: takes lines of progress.

    Raises:
        SmallSpatialError: the run cannot be asked.
    """
    result = measured(run, tested(run), questions, said)
    file = file_of(run)
    write_whole(file, json.dumps(result, indent=1, allow_nan=False) + "\n")
    write_page(file.parent, result)
    return result


def measured(run: RunFolder, asked: AsTested, questions: int, said: Callable[[str], object]) -> Result:
    """What an answer of a run costs; raises as `measure` does."""
    began = time.monotonic()
    module = asked.module
    measuring = take_timings(asked, questions, file_of(run).parent, said)
    figures = {name: figure(measuring.figures[name]) for name in (ONE_QUESTION, OVER_THE_SET)}
    stages = [stage for stage in figures[ONE_QUESTION]["rows"] if stage != END_TO_END]
    on_gpu = measuring.device.type == "cuda"
    result: Result = {
        "run": card_of(run),
        "of": what_is_measured(run, questions),
        "stages": stages,
        "meanings": {stage: MEANINGS[stage] for stage in stages},
        "divided": stages != list(UNDIVIDED),
        **figures,
        "questions_of_test": measuring.questions_of_test,
        "percentile": METHOD,
        "images_shared": False,
        "images_shared_why": IMAGES_SHARED,
        "answering": getattr(module, "answering", None),
        "memory": {
            "peak_gb": measuring.peak_memory_gb,
            "of": "what was allocated on the GPU" if on_gpu else "the resident memory of the whole process",
        },
        "machine": {
            **machine(measuring.device, asked.placement.precision, module),
            "load_before": measuring.load["before"],
            "load_after": measuring.load["after"],
        },
        "seconds": time.monotonic() - began,
    }
    return {**result, "busy": busy(result["machine"]), "notes": notes(result)}
