"""One run of a study: an experiment with one seed, its files, and whether it was done before."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from datamodules.files.text_files import read_json
from experiments.experiment_files.allowed_classes import allowing
from experiments.experiment_files.registry import (
    BASE,
    find_experiment,
    opening_comment,
    read_yaml,
    with_ancestors,
)
from experiments.run_folders.run_folder import LATEST, RUNS, RunFolder, write_whole
from experiments.study.study_file import FOLDER, Study, StudyRun


@dataclass(frozen=True)
class SeededRun:
    """A run of a study with one of its seeds.

    Its files lie side by side in the study's folder: `LABEL/seedN.yaml`, an experiment like any other;
    `LABEL/seedN.log`, what the run has printed; `LABEL/seedN.json`, its record once it is done; and
    `LABEL/seedN/`, the run's own folder.

    Attributes:
        study: the study.
        run: what is run.
        seed: with which seed.
    """

    study: Study
    run: StudyRun
    seed: int

    def __str__(self) -> str:
        """What the user calls it."""
        return f"{self.run.label} seed {self.seed}"

    @property
    def name(self) -> str:
        """The name under which it runs: its folders lie in `runs/<name>/`."""
        return f"{self.study.runs_name}/{self.run.label}/seed{self.seed}"

    @property
    def file(self) -> Path:
        """The experiment file that the study writes for it."""
        return self._beside("yaml")

    @property
    def log(self) -> Path:
        """What it has printed."""
        return self._beside("log")

    @property
    def record(self) -> Path:
        """Where it lies and what it was made from, once it is done."""
        return self._beside("json")

    @property
    def command(self) -> list[str]:
        """What a shell would be told."""
        return [
            *(sys.executable, "-m", "experiments.run", "experiment", "-c", str(self.file)),
            *(("--scale", "tiny") if self.study.scale == "tiny" else ()),
            *allowing(self.study.allowed),
        ]

    def needed(self) -> list[SeededRun]:
        """The runs that must be done before."""
        return [SeededRun(self.study, self.study.runs[label], self.seed) for label in self.run.needs]

    def kept(self) -> RunFolder | None:
        """The folder of this run if it was done before, from the very settings that it would have now.

        Those are the experiment's files, what the study lays over them, the scale, the seed, and the folders
        of the runs it needs. Changes of the code are not noticed.
        """
        if not self.record.exists():
            return None
        record = read_json(self.record)
        folder = RunFolder(Path(record["folder"]))
        return folder if _is_tested(folder) and record["fingerprint"] == self.fingerprint() else None

    def prepare(self) -> str:
        """Write its experiment file, forget what stood in its place, and say what it is made from.

        The runs it needs are done.

        Returns:
            The fingerprint of its settings, for `finish`.
        """
        # With a tiny scale, the `tiny:` parts of the files before would win over anything but such a part.
        settings = {"name": self.name, "seed_everything": self.seed, **self.settings()}
        content = {
            "starts_from": self.run.experiment,
            **({"tiny": settings} if self.study.scale == "tiny" else settings),
        }
        comment = opening_comment(find_experiment(self.run.experiment)).splitlines()
        lines = [f"# {line}".rstrip() for line in comment]
        write_whole(self.file, "\n".join([*lines, "", yaml.safe_dump(content, sort_keys=False)]))
        self.record.unlink(missing_ok=True)
        self._latest.unlink(missing_ok=True)
        return self.fingerprint()

    def finish(self, fingerprint: str) -> RunFolder | None:
        """Write the record of the run that has just ended; None if it has left no results."""
        if not self._latest.is_symlink():
            return None
        folder = RunFolder(self._latest.parent / self._latest.readlink())
        if not _is_tested(folder):
            return None
        record = {"folder": str(folder.path), "fingerprint": fingerprint}
        write_whole(self.record, json.dumps(record, indent=2) + "\n")
        return folder

    def folder(self) -> Path:
        """The folder of the run that is done."""
        return Path(read_json(self.record)["folder"])

    def settings(self) -> dict[str, Any]:
        """What is laid over the experiment, with the folders of the needed runs in their places."""
        folders = {needed.run.label: str(needed.folder()) for needed in self.needed()}
        filled: dict[str, Any] = _filled(self.run.settings, folders)
        return filled

    def fingerprint(self) -> str:
        """Tells whether two runs have been made from the same settings; the needed runs are done."""
        files = [read_yaml(path) for path in [BASE, *with_ancestors(find_experiment(self.run.experiment))]]
        if self.study.scale != "tiny":
            files = [{key: value for key, value in file.items() if key != "tiny"} for file in files]
        made_from = {
            "files": files,
            "settings": self.settings(),
            "needed": [str(needed.folder()) for needed in self.needed()],
            "scale": self.study.scale,
            "seed": self.seed,
        }
        return hashlib.sha256(json.dumps(made_from, sort_keys=True, default=str).encode()).hexdigest()

    @property
    def _latest(self) -> Path:
        return RUNS / self.name / LATEST

    def _beside(self, ending: str) -> Path:
        return self.study.folder / self.run.label / f"seed{self.seed}.{ending}"


def seeded_runs(study: Study) -> list[SeededRun]:
    """All runs with the first seed, then all with the next, so that whole comparisons come early."""
    return [SeededRun(study, run, seed) for seed in study.seeds for run in study.runs.values()]


def _is_tested(folder: RunFolder) -> bool:
    return folder.results.exists() and folder.predictions.exists()


def _filled(tree: Any, folders: dict[str, str]) -> Any:
    """Settings with `{folder:LABEL}` replaced by the folder of that run."""
    if isinstance(tree, dict):
        return {key: _filled(value, folders) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_filled(value, folders) for value in tree]
    return FOLDER.sub(lambda match: folders[match[1]], tree) if isinstance(tree, str) else tree
