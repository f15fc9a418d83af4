"""What the processes of a training have to agree on."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, distributed


def is_shared() -> bool:
    """Whether several processes train together."""
    return distributed.is_available() and distributed.is_initialized()


def all_reduce_mean(figures: Tensor) -> Tensor:
    """The mean of each figure over all processes, which all have to ask for it; without gradients."""
    mean = figures.detach().clone()
    if is_shared():
        distributed.all_reduce(mean)
        mean /= distributed.get_world_size()
    return mean


def joined_sums(sums: Mapping[str, tuple[float, int]]) -> dict[str, tuple[float, int]]:
    """Sums and counts by name, added up over all processes, some of which may have seen nothing."""
    if not is_shared():
        return dict(sums)
    every: list[Mapping[str, tuple[float, int]]] = [{} for _ in range(distributed.get_world_size())]
    distributed.all_gather_object(every, dict(sums))
    joined: dict[str, tuple[float, int]] = {}
    for name, (total, count) in (item for own in every for item in own.items()):
        before, seen = joined.get(name, (0.0, 0))
        joined[name] = (before + total, seen + count)
    return joined
