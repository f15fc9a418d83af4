"""How long the parts of a run took, by a clock that is told what time it is."""

from __future__ import annotations

from typing import Any

import pytest

from experiments.callbacks import stopwatch
from experiments.callbacks.stopwatch import Stopwatch
from tests.helpers.known_answers import Clock

ANY: Any = None


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    told = Clock()
    monkeypatch.setattr(stopwatch, "time", told)
    return told


def test_each_part_is_counted_alone(clock: Clock) -> None:
    watch = Stopwatch()
    clock.now = 1000
    watch.start()
    clock.now += 5
    with watch.paused():
        clock.now += 300  # a teacher's outputs are written
    clock.now += 6
    watch.on_train_start(ANY, ANY)
    clock.now += 20
    watch.on_train_end(ANY, ANY)
    clock.now += 400  # nothing of it
    watch.on_test_start(ANY, ANY)
    clock.now += 3
    watch.on_test_end(ANY, ANY)
    assert watch.seconds == {"data": 11, "fit": 20, "test": 3}


def test_without_a_fit_the_data_are_ready_when_the_test_begins(clock: Clock) -> None:
    watch = Stopwatch()
    watch.start()
    clock.now += 7
    watch.on_test_start(ANY, ANY)
    clock.now += 2
    watch.on_test_end(ANY, ANY)
    assert watch.seconds == {"data": 7, "fit": 0, "test": 2}


def test_a_resumed_run_adds_to_what_it_had_spent(clock: Clock) -> None:
    killed = Stopwatch()
    clock.now += 10
    killed.on_train_start(ANY, ANY)
    clock.now += 40
    saved = killed.state_dict()
    assert saved == {"data": 10, "fit": 40}
    clock.now += 5000
    resumed = Stopwatch()
    clock.now += 2
    resumed.load_state_dict(saved)
    resumed.on_train_start(ANY, ANY)
    clock.now += 30
    assert resumed.state_dict() == {"data": 12, "fit": 70}
    resumed.on_train_end(ANY, ANY)
    clock.now += 1
    resumed.on_test_start(ANY, ANY)
    clock.now += 4
    resumed.on_test_end(ANY, ANY)
    assert resumed.seconds == {"data": 12, "fit": 70, "test": 4}


def test_where_the_fit_was_over_what_it_took_stands(clock: Clock) -> None:
    watch = Stopwatch()
    watch.load_state_dict({"data": 10, "fit": 40})
    assert watch.seconds == {"data": 10, "fit": 40, "test": 0}
