"""An experiment's name is a folder under `runs/`, and no other place."""

import pytest

from experiments.run_folders.run_folder import RunError
from tests.helpers.cli_in_process import DryRunCLI


@pytest.mark.parametrize("name", ["../elsewhere", "a/../../b", "/tmp/a", "a\nb", "a\x00b", "\x1b[2J"])
def test_a_name_that_is_no_folder_of_runs_is_refused(dry_run: type[DryRunCLI], stub: str, name: str) -> None:
    with pytest.raises(RunError, match="give a name such as mine/first") as told:
        dry_run(["fit", "-c", str(stub), "--name", name])
    assert str(told.value).isprintable()


@pytest.mark.parametrize("name", ["a", "mine/first", "größe/7", "with space"])
def test_others_are_taken(dry_run: type[DryRunCLI], stub: str, name: str) -> None:
    assert dry_run(["fit", "-c", str(stub), "--name", name]).folder.path.parent.name == name.split("/")[-1]
