"""The counting head with weights set by hand, whose counts are then known."""

from __future__ import annotations

import dataclasses
import math
from itertools import pairwise

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lightning_modules.tiny_giant.count_head import CountHead, member_sum
from lightning_modules.tiny_giant.encoded import Encoded
from lightning_modules.tiny_giant.focus import Focus

WIDTH, RELATIONS = 8, 4
CERTAIN = 40.0


def head_that_knows() -> CountHead:
    """The first number of a relation to the container says who is inside."""
    head = CountHead(WIDTH, RELATIONS)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.zero_()
        first, last = head.inside[0], head.inside[2]
        assert isinstance(first, nn.Linear) and isinstance(last, nn.Linear)
        first.weight[0, 0] = CERTAIN
        last.weight[0, 0] = 2.0
        last.bias.fill_(-CERTAIN)
        head.sharpness.fill_(1.0)
        head.is_listed.bias.fill_(CERTAIN)
    return head


def container() -> Focus:
    """Region 0 is the container: the only one with a first number."""
    focus = Focus(WIDTH)
    with torch.no_grad():
        focus.query.weight.zero_()
        focus.query.bias.zero_()
        focus.query.bias[0] = CERTAIN * WIDTH**0.5
    return focus


def asked(inside: list[bool], more: int = 0) -> Encoded:
    """A container (region 0), regions that lie inside of it or not, and places where no region is."""
    count = 1 + len(inside) + more
    regions = torch.zeros(1, count, WIDTH)
    regions[0, 0, 0] = 1.0
    relations = torch.zeros(1, count, count, RELATIONS)
    relations[0, 1 : 1 + len(inside), 0, 0] = torch.tensor(inside).float()
    relations[0, count - more :, 0, 0] = 1.0  # would be inside if they were there
    named = torch.arange(count)[None] < count - more
    nothing = torch.zeros(1, 1, WIDTH)
    return Encoded(nothing, named[:, :1], nothing[0], regions, named, relations, *[None] * 5)


def counted(encoded: Encoded, head: CountHead | None = None) -> tuple[Tensor, Tensor]:
    """What is added to the digits, and how many regions are counted."""
    states, nothing = torch.zeros(1, 1, WIDTH), torch.zeros(1, 1, encoded.regions.shape[1])
    with torch.no_grad():
        nearness, members = (head or head_that_knows())(
            states, *container()(states, nothing, encoded), encoded
        )
    return nearness[0, 0], torch.sigmoid(members[0, 0])[encoded.named[0]].sum()


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=9), st.integers(0, 3))
def test_regions_inside_are_counted_and_the_nearest_digit_is_the_likeliest(
    inside: list[bool], more: int
) -> None:
    nearness, count = counted(asked(inside, more))
    assert abs(float(count) - sum(inside)) < 0.01
    assert int(nearness.argmax()) == sum(inside)
    by_distance = sorted(range(10), key=lambda digit: abs(digit - sum(inside)))
    assert all(nearness[a] >= nearness[b] - 0.05 for a, b in pairwise(by_distance))


def test_a_question_without_regions_keeps_its_digits() -> None:
    bare = asked([True, True])
    bare = dataclasses.replace(bare, named=torch.zeros_like(bare.named))
    nearness, _ = counted(bare)
    assert torch.equal(nearness, torch.zeros(10))


def test_what_the_picture_shows_in_the_container_counts_where_nothing_is_listed() -> None:
    head = head_that_knows()
    torch.nn.init.constant_(head.is_listed.bias, -CERTAIN)
    encoded = dataclasses.replace(asked([True, False]), shown=torch.tensor([[3.0, 5.0, 7.0]]))
    nearness, count = counted(encoded, head)
    assert abs(float(count) - 1) < 0.01 and int(nearness.argmax()) == 3
    # Where nobody knows, both numbers are likely, and none between them.
    torch.nn.init.constant_(head.is_listed.bias, 0.0)
    undecided, _ = counted(encoded, head)
    assert sorted(undecided.argsort()[-2:].tolist()) == [1, 3] and undecided[2] < undecided[1] - 0.5


def test_a_container_does_not_count_itself() -> None:
    head, encoded = head_that_knows(), asked([True, False, True])
    assert encoded.relations is not None
    encoded.relations[0, 0, 0, 0] = 1.0  # as if it were inside of itself
    nearness, members = counted(encoded, head)
    assert abs(float(members) - 3) < 0.01 and int(nearness.argmax()) == 2


def test_all_digits_are_alike_where_nothing_is_listed_or_seen() -> None:
    head = head_that_knows()
    torch.nn.init.constant_(head.is_listed.bias, -CERTAIN)
    nearness, _ = counted(asked([True, True]), head)
    assert torch.allclose(nearness, nearness[:1].expand(10), atol=1e-3)


def test_members_are_learnt_where_a_digit_is_written_and_the_regions_are_known() -> None:
    members = torch.zeros(2, 3, 4, requires_grad=True)
    is_digit = torch.tensor([[False, True, False], [False, True, False]])
    truth = torch.tensor([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    known = torch.tensor([[True, True, True, False], [False] * 4])
    total, number = member_sum(members, is_digit, truth, known)
    total.backward()
    assert number == 2 and abs(float(total.detach()) - 3 * math.log(2)) < 1e-5
    assert members.grad is not None
    assert members.grad[0, 1].tolist() == [0.5, -0.5, 0.5, 0.0] and members.grad.count_nonzero() == 3


def test_no_digit_stands_for_ten() -> None:
    nearness, members = counted(asked([True] * 11))
    assert abs(float(members) - 11) < 0.01
    assert torch.allclose(nearness, nearness[:1].expand(10))


def test_a_question_without_a_picture_knows_of_none_beside_one_that_has() -> None:
    head = head_that_knows()
    torch.nn.init.constant_(head.is_listed.bias, -CERTAIN)
    unknown, _ = counted(dataclasses.replace(asked([True]), shown=torch.full((1, 2), -1.0)), head)
    alone, _ = counted(asked([True]), head)
    assert torch.equal(unknown, alone)
