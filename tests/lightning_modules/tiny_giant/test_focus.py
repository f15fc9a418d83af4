"""What was written last, against a loop; and a choice by how regions stand to that one."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lightning_modules.tiny_giant.encoded import Encoded
from lightning_modules.tiny_giant.focus import Focus, FocusedPointers, written_last

SIZE, REGIONS = 10, 4


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, SIZE + REGIONS - 1), min_size=6, max_size=6), min_size=1, max_size=4))
def test_the_last_two_regions_are_those_that_were_written(rows: list[list[int]]) -> None:
    last, before = written_last(torch.tensor(rows), SIZE, REGIONS)
    for question, row in enumerate(rows):
        written = [-1, -1]
        for place, token in enumerate(row):
            written += [token - SIZE] if token >= SIZE else []
            for found, expected in ((last, written[-1]), (before, written[-2])):
                ones = [float(number == expected) for number in range(REGIONS)]
                assert found[question, place].tolist() == ones


def test_no_region_and_no_place_for_one_are_nothing() -> None:
    last, before = written_last(torch.tensor([[1, 2, 3]]), SIZE, 0)
    assert last.shape == before.shape == (1, 3, 0)


def asked(relations: Tensor) -> Encoded:
    count = relations.shape[1]
    regions = torch.randn(1, count, 6)
    named = torch.ones(1, count, dtype=torch.bool)
    nothing = torch.zeros(1, 1, 6)
    return Encoded(nothing, named[:, :1], nothing[0], regions, named, relations, *[None] * 5)


def test_behind_a_chain_regions_are_chosen_by_how_they_stand_to_its_last() -> None:
    """A learnt choice of the nearest needs a few hundred steps, and holds for more regions than were seen."""
    torch.manual_seed(0)
    focus, pointers = Focus(6), FocusedPointers(6, 5)
    learnt = torch.optim.Adam([*focus.parameters(), *pointers.parameters()], lr=0.02)

    def nearest(count: int) -> tuple[Tensor, Tensor]:
        places = torch.rand(1, count, 2)
        apart = torch.cdist(places, places)[0]
        relations = torch.cat([apart[None, ..., None], torch.randn(1, count, count, 4)], -1)
        start = int(torch.randint(count, ()))
        last = torch.nn.functional.one_hot(torch.tensor([[start]]), count).float()
        encoded = asked(relations)
        _, about = focus(torch.ones(1, 1, 6), last, encoded)
        own = relations.diagonal(dim1=1, dim2=2).transpose(1, 2)
        logits = pointers(torch.ones(1, 1, 6), about, own)[0, 0].clone()
        logits[start] = -1e4
        apart = apart.clone()
        apart[start, start] = 9
        return logits, apart[start].argmin()

    for _ in range(500):
        losses = [torch.nn.functional.cross_entropy(*nearest(5)) for _ in range(8)]
        learnt.zero_grad()
        torch.stack(losses).mean().backward()
        learnt.step()
    with torch.no_grad():
        right = [bool(logits.argmax() == true) for logits, true in (nearest(10) for _ in range(200))]
    assert sum(right) > 160
