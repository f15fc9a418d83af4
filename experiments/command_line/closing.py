"""The end of a run: results, adapter, report, and what is said last."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.utilities.rank_zero import rank_zero_only

from datamodules.base import SpatialDataModule
from datamodules.scoring.prediction_files import records_by_id
from experiments.callbacks.checkpoint_choice import whose_weights
from experiments.callbacks.plain_halves import data_face, module_face
from experiments.callbacks.start_card import scored_elsewhere
from experiments.experiment_files.registry import read_yaml
from experiments.export import write_adapter
from experiments.program import program
from experiments.report.in_context import VOTE, in_context_table
from experiments.report.page import write_report
from experiments.report.results import Results, collect, named_metric, percent, write_results
from experiments.run_folders.provenance import parameter_counts
from lightning_modules.base import SpatialModule

if TYPE_CHECKING:
    from experiments.command_line.cli import SpatialCLI


def write_results_of(cli: SpatialCLI, baselines: dict[str, Any]) -> Results | None:
    """Collect and write the results of a test or validation; None where there is nothing to score."""
    model, data = module_face(cli.model), data_face(cli.datamodule)
    summary = model.summary if isinstance(model, SpatialModule) else cli.logged_score.summary
    if cli.rehearses or not cli.trainer.is_global_zero or not summary or not summary["n"]:
        return None
    results = collect(
        summary,
        baselines,
        cli.stopwatch.seconds,
        parameter_counts(cli.model),
        images=data.image_notes.counts(),
        provenance={**model.origins(), "data": data.origin(), "torchvision": version("torchvision")},
    )
    if table := _in_context(cli):
        results["in_context"] = table
        results["baselines"] = {
            **results["baselines"],
            **{name: table[name] for name in (VOTE,) if name in table},
        }
    tested = cli.subcommand in ("experiment", "test")
    if checkpoint := _asked_checkpoint(cli):
        results["tested"] = whose_weights(checkpoint, cli.folder, cli.best)
    if tested and (note := scored_elsewhere(data)):
        results["scored_on"] = note
    write_results(cli.folder, results)
    cli.folder.become_latest()
    return results


def _in_context(cli: SpatialCLI) -> dict[str, dict[str, Any]]:
    """What solved examples did to a test; nothing where there are none, or no answers are kept."""
    data, answers = cli.datamodule, cli.folder.predictions
    shown = isinstance(data, SpatialDataModule) and data.shows_examples
    if not shown or cli.subcommand == "validate" or not answers.exists() or not answers.stat().st_size:
        return {}
    return in_context_table(records_by_id(cli.folder.predictions).values())


@rank_zero_only
def write_trained(cli: SpatialCLI) -> None:
    """Write what was trained of a model with an adapter."""
    if parameter_counts(cli.model)[1]:
        write_adapter(cli.model, read_yaml(cli.folder.config)["model"], cli.folder.path)


@rank_zero_only
def close(cli: SpatialCLI, results: Results | None) -> None:
    """Write the report, and say what the score is and what comes next."""
    if cli.rehearses:
        print("\nA rehearsal (fast_dev_run): every part has run, and nothing of it was kept.")
        return
    report = write_report(cli.folder)
    if results is not None:
        beside = "".join(f", {name} {percent(value)}" for name, value in results["baselines"].items())
        print(f"\nScore {percent(results)}{named_metric(results)} on {results['n']:,} questions{beside}.")
        if results.get("in_context", {}).get("asked with 0", {}).get("score") == 100:
            print(
                "No question was asked with an example, since none ever fit into the model's window: raise "
                "maximum_tokens, or lower image_tokens."
            )
    print(f"Report: {report}")
    # What is asked as it begins can be audited as well.
    if results is not None and (cli.folder.checkpoint.exists() or cli.subcommand == "experiment"):
        print(
            f"Next: {program('audit')} --run {cli.folder.path}{cli.composition.allowing}\n"
            "tells whether it understands or guesses: the same test, each time with one thing changed."
        )
    if cli.folder.checkpoint.exists():
        print(
            f"Next: {program('predict')} -c {cli.folder.config} --ckpt_path {cli.folder.asked} "
            f"--data OwnImages --data.root FOLDER{cli.composition.allowing}\nanswers the questions of "
            "FOLDER/questions.csv (columns image, question; see the README) about your own images."
        )


def _asked_checkpoint(cli: SpatialCLI) -> Path | None:
    """The checkpoint whose weights were scored, if they were trained."""
    if cli.trainer.ckpt_path:
        return Path(str(cli.trainer.ckpt_path))
    trained = cli.subcommand == "experiment" and parameter_counts(cli.model)[1] > 0
    return cli.folder.checkpoint if trained and cli.folder.checkpoint.exists() else None
