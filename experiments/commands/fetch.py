"""Fetches a benchmark from the hub with the user's own token, unpacks it, and checks that it is whole.

python -m experiments.run fetch --name ai_city_track3 --to /folder

Interrupted at any point, the same command goes on where it stopped.
"""

from __future__ import annotations

import sys
from pathlib import Path

from datamodules.ai_city_track3 import AiCityTrack3
from datamodules.cv_bench import CvBench
from datamodules.hub.fetch import Download, download_commit, fetch
from datamodules.omni_spatial import OmniSpatial
from datamodules.space_thinker import SpaceThinker
from experiments.errors.plain_errors import AGAIN, OptionParser, plain_errors
from experiments.program import program

DATASETS = {kind.benchmark: kind.hub for kind in (AiCityTrack3, CvBench, OmniSpatial, SpaceThinker)}
"""What can be fetched, by name."""


def main(arguments: list[str] | None = None, download: Download = download_commit) -> int:
    """Fetch a data set by name; 1 when something is missing in the end."""
    parser = OptionParser(prog=program("fetch"), description=__doc__)
    parser.add_argument("--name", required=True, choices=sorted(DATASETS), help="which data set")
    parser.add_argument("--to", required=True, type=Path, help="the folder to put it in")
    with plain_errors(interrupted=AGAIN):
        options = parser.parse_args(arguments)
        missing = fetch(DATASETS[options.name], options.to, download)
    for sentence in missing:
        print(f"Missing: {sentence}", file=sys.stderr)
    if not missing:
        print(f"{options.to} holds all of {options.name}.")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
