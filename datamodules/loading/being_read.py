"""Which image each data-loading worker reads, for the case that it dies of it, or never comes back."""

from __future__ import annotations

import os
from collections.abc import Collection
from multiprocessing.sharedctypes import RawArray
from typing import Any

from torch.utils.data import get_worker_info

NOTHING = -1


class BeingRead:
    """A place for each worker in memory that the main process shares; it stays when a worker is gone."""

    def __init__(self) -> None:
        self._places: Any = []

    def make_room(self, workers: int) -> None:
        """Have a place for each worker, before there are any."""
        # Each worker's process, and the number of its image. No lock: a killed worker would hold it for ever.
        self._places = RawArray("q", [NOTHING] * (2 * workers)) if workers else []

    def note(self, image: int) -> None:
        """Say in a worker which image it is about to read; `NOTHING` where it waits for more to do."""
        worker = get_worker_info()
        if worker is not None and self._places:
            self._places[2 * worker.id : 2 * worker.id + 2] = [os.getpid(), image]

    def images(self, processes: Collection[int] = ()) -> list[int]:
        """The images that workers read at this moment.

        Args:
            processes: the workers that are asked about; all when left out.
        """
        pairs = zip(self._places[::2], self._places[1::2], strict=True)
        return [
            image for process, image in pairs if image != NOTHING and (not processes or process in processes)
        ]
