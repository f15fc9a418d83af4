"""Pieces of two models' attention maps, small enough to be made, compared and forgotten.

A block is some query rows of some samples, with the columns that these rows look at. Long sequences are cut
into blocks of one sample each; short ones are taken together, since a block costs time by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lightning_modules.distillation.attention.tap import TappedLayer, attention_maps

CELLS = 2**19
"""Places in a map that the samples of a block may have together on a CPU: 128 rows of 4,096 columns."""

CELLS_OF_A_GPU = 2**22
"""Likewise on any other device, where each block costs the launches of its kernels."""


class Extent(NamedTuple):
    """The shortest ranges that hold all rows and all columns of a sample that count; empty where none do."""

    rows: range
    columns: range


def extents_of(rows_mask: Tensor, columns_mask: Tensor) -> list[Extent]:
    """Where the rows and columns lie that count, for each sample; to be found once for all layers.

    The host waits for the device here, and only here: which blocks there are follows from the extents.

    Args:
        rows_mask: which queries count, [batch, tokens].
        columns_mask: which keys count, [batch, tokens].
    """
    both = torch.stack([rows_mask.bool(), columns_mask.bool()])
    place = torch.arange(both.shape[-1], device=both.device)
    first = place.where(both, both.shape[-1]).amin(-1)
    stop = (place + 1).where(both, 0).amax(-1)
    rows, columns = torch.stack([first, stop], -1).tolist()
    return [
        Extent(range(*its_rows), range(*its_columns))
        for its_rows, its_columns in zip(rows, columns, strict=True)
    ]


@dataclass(frozen=True)
class LayerPair:
    """A layer of each model on the same tokens, and what of their maps is compared.

    Attributes:
        student: the student's layer.
        teacher: the teacher's, on the student's device and without gradient.
        rows_mask: which queries count, [batch, tokens].
        columns_mask: which keys count, [batch, tokens].
        extents: where those lie.
    """

    student: TappedLayer
    teacher: TappedLayer
    rows_mask: Tensor
    columns_mask: Tensor
    extents: Sequence[Extent]

    def visible(self, samples: slice, rows: slice, columns: slice) -> Tensor:
        """Whether both may look, at a key that counts, [samples, rows, columns]."""
        seen = self.student.visible(samples, rows, columns) & self.columns_mask[samples, None, columns]
        if (
            self.student.mask is None
            and self.teacher.mask is None
            and self.student.causal == self.teacher.causal
        ):
            return seen
        return seen & self.teacher.visible(samples, rows, columns)

    def counted(self, block: Block, visible: Tensor) -> Tensor:
        """Which rows of a block count and see a column, [samples, rows].

        Args:
            block: the block.
            visible: what `visible` says of it.
        """
        return self.rows_mask[block.samples, block.rows].bool() & visible.any(-1)


@dataclass(frozen=True)
class Block:
    """Some rows and columns of some samples."""

    samples: slice
    rows: slice
    columns: slice


def blocks_of(pair: LayerPair, chunk: int | None) -> Iterator[list[Block]]:
    """All that counts, as one list of blocks for each group of samples.

    Args:
        pair: the layers.
        chunk: rows of a block; as many as the device takes at a time when left out.
    """
    batch, tokens = pair.rows_mask.shape
    cells = CELLS if pair.rows_mask.device.type == "cpu" else CELLS_OF_A_GPU
    height = max(1, cells // tokens) if chunk is None else chunk
    together = max(1, cells // (min(height, tokens) * tokens))
    for first in range(0, batch, together):
        samples = slice(first, min(first + together, batch))
        rows = _joined([extent.rows for extent in pair.extents[samples]])
        columns = _joined([extent.columns for extent in pair.extents[samples]])
        causal = pair.student.causal and pair.student.mask is None
        blocks = []
        for start in range(rows.start, rows.stop, height):
            stop = min(start + height, rows.stop)
            last = min(columns.stop, stop) if causal else columns.stop
            if columns.start < last:
                blocks.append(Block(samples, slice(start, stop), slice(columns.start, last)))
        if blocks:
            yield blocks


def maps_of_both(pair: LayerPair, block: Block) -> tuple[Tensor, Tensor, Tensor]:
    """The student's and the teacher's maps in a block, and how many rows of each sample count.

    Rows that do not count, and those that see no column, are 0 in the teacher's maps.

    Returns:
        maps of the student [samples, heads, rows, columns], of the teacher likewise, and counts [samples].
    """
    visible = pair.visible(block.samples, block.rows, block.columns)
    counted = pair.counted(block, visible)
    # A row without any column has no distribution; it gets one, which is then left out.
    visible = visible | ~counted[..., None]
    student, teacher = (
        attention_maps(
            layer.queries[block.samples, :, block.rows],
            layer.keys[block.samples, :, block.columns],
            visible,
            layer.scaling,
        )
        for layer in (pair.student, pair.teacher)
    )
    return student, teacher.to(student.dtype) * counted[:, None, :, None], counted.sum(1)


def recomputed(function: Callable[..., Any], pair: LayerPair, block: Block, *arguments: Any) -> Any:
    """Call a function of a block, in full precision, and forget what it would keep for the backward pass."""

    def call() -> Any:
        with torch.autocast(pair.student.queries.device.type, enabled=False):
            return function(pair, block, *arguments)

    return checkpoint(call, use_reentrant=False, preserve_rng_state=False)


def _joined(ranges: Sequence[range]) -> range:
    """The shortest range that holds several; an empty one where all are."""
    return range(min(each.start for each in ranges), max(each.stop for each in ranges))
