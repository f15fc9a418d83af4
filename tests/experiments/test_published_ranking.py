"""Published scores beside what their sets of questions can show."""

from __future__ import annotations

from pathlib import Path

import pytest

from datamodules.statistics.power import detectable_difference
from experiments.commands.ranking import main
from experiments.report.published_ranking import as_text, comparisons
from experiments.run_folders.run_folder import RunError

FILE = """\
sources:
  one: {title: A paper, where: here}
  two: {title: A paper too, where: there}
comparisons:
  - {name: "Both tables", source: one, table: table, questions: 1000}
values:
  - {experiment: null, what: score, value: 50.0, source: one, table: table 2, run_here: false}
  - {experiment: small_vlm/kd_smolvlm, what: score, value: 53.0, source: one, table: table 1, run_here: false}
  - {experiment: null, what: score, value: 49.0, source: one, table: table 3, run_here: false}
  - {experiment: null, what: score, value: 90.0, source: one, table: elsewhere, run_here: false}
  - {experiment: null, what: score, value: 91.0, source: two, table: table 1, run_here: false}
  - {experiment: null, what: score of Count, value: 92.0, source: one, table: table 1, run_here: false}
"""


def test_scores_of_one_source_are_ranked_and_steps_are_marked(tmp_path: Path) -> None:
    (tmp_path / "published.yaml").write_text(FILE)
    (comparison,) = comparisons(tmp_path / "published.yaml")
    limits = [detectable_difference(1000, share) for share in (0.1, 0.2, 0.3)]
    assert limits[0] < 3.0 < limits[1] < 4.0 < limits[2]
    assert as_text(comparison).splitlines()[3:] == [
        "                       score  below the one above  below the best",
        "table 1 (kd_smolvlm)   53.00",
        "table 2                50.00             3.00 +--        3.00 +--",
        "table 3                49.00             1.00 ---        4.00 ++-",
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("questions: 1000", "questions: many", "a comparison that cannot be used"),
        ("source: one, table: table, questions", "source: three, table: table, questions", "'three'"),
        ("table: table, questions", "table: nowhere, questions", "has 0 scores of it; give two at least"),
    ],
)
def test_a_comparison_that_cannot_be_made_is_a_sentence(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    (tmp_path / "published.yaml").write_text(FILE.replace(old, new))
    with pytest.raises(RunError, match=said):
        comparisons(tmp_path / "published.yaml")


def test_what_the_origin_of_this_project_could_show(capsys: pytest.CaptureFixture[str]) -> None:
    """The distillation study's differences are all below what 1,533 questions show, but for one."""
    main([])
    shown = capsys.readouterr().out
    assert "1,533 questions can show 2.25 / 3.19 / 3.91 points" in shown
    study = shown.partition("Qwen2.5-VL on OmniSpatial:")[2].partition("\n\nQwen")[0].splitlines()
    steps = {line[:45].strip(): line.split()[-1] for line in study[5:]}
    assert {steps.pop("in-context learning, naive (icl_naive_k3)")} == {"+++"} and set(steps.values()) == {
        "---"
    }
    assert len(steps) == 6
