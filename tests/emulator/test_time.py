"""The clock, and the course of a batch as a function of it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llmbatch.emulator.clock import Clock, Leg
from airflow_provider_llmbatch.emulator.lifecycle import Course, Phase


def course(**more: float | str | bool | None) -> Course:
    base = {"born": 0.0, "validate": 10.0, "run": 80.0, "finalize": 10.0, "window": 1_000.0, "cancel": 20.0}
    return Course(**{**base, "checked": 0.0, "answered": 0.0, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "moments"),
    [
        pytest.param(
            {}, {0: "validating", 9.9: "validating", 10: "running", 90: "finalizing", 100: "completed"}, id="plain"
        ),
        pytest.param({"invalid": True}, {9.9: "validating", 10: "failed", 500: "failed"}, id="invalid"),
        pytest.param({"checked": None}, {500: "validating"}, id="not yet checked"),
        pytest.param({"answered": None}, {500: "running", 5_000: "running"}, id="slow work expires nothing"),
        pytest.param({"answered": 200.0}, {199: "running", 200: "finalizing", 210: "completed"}, id="late work"),
        pytest.param({"window": 50.0}, {49: "running", 50: "expired"}, id="window closes first"),
        pytest.param({"halt": 0.5}, {999: "running", 1_000: "expired"}, id="halted"),
        pytest.param({"cancelled": 50.0}, {50: "cancelling", 69: "cancelling", 70: "cancelled"}, id="cancelled"),
        pytest.param({"stuck": "running"}, {5_000: "running"}, id="stuck"),
        pytest.param(
            {"validate": 0.0, "run": 100.0, "finalize": 0.0}, {0: "running", 100: "completed"}, id="two phases"
        ),
        pytest.param({"validate": 0.0, "run": 0.0, "finalize": 0.0}, {0: "completed"}, id="at once"),
    ],
)
def test_a_course_runs_as_planned(settings: dict[str, float], moments: dict[float, str]) -> None:
    found = {now: course(**settings).at(now).phase.value for now in moments}

    assert found == moments


@given(
    halt=st.floats(0, 1),
    cancelled=st.none() | st.floats(0, 2_000),
    window=st.floats(1, 2_000),
    invalid=st.booleans(),
    times=st.lists(st.floats(0, 5_000), min_size=2, max_size=6),
)
def test_no_batch_ever_goes_back(
    halt: float, cancelled: float | None, window: float, invalid: bool, times: list[float]
) -> None:
    subject = course(halt=halt, window=window, invalid=invalid)
    if cancelled is not None and not subject.at(cancelled).phase.is_terminal:
        subject = course(halt=halt, window=window, invalid=invalid, cancelled=cancelled)
        times = [max(cancelled, now) for now in times]
    moments = [subject.at(now) for now in sorted(times)]

    order = list(Phase)
    steps = [order.index(moment.phase) for moment in moments]
    assert steps == sorted(steps)
    done = [moment.done for moment in moments]
    assert done == sorted(done)
    assert all(moment.since <= max(now, 0) for moment, now in zip(moments, sorted(times), strict=True))
    assert len({moment for moment in moments if moment.phase.is_terminal}) <= 1


def test_emulated_time_passes_faster_and_can_be_skipped() -> None:
    clock = Clock(1_000)
    start = clock.now()
    clock.advance(5_000)

    assert clock.now() >= start + 5_000
    assert clock.watch() >= time.time() + 4_999


def test_a_clock_that_stands_still_moves_by_advances_alone() -> None:
    clock = Clock(0)
    assert clock.now() == clock.now() == 0
    clock.advance(10)

    assert clock.now() == 10


def test_what_happened_in_a_skipped_stretch_happened_when_it_was_skipped() -> None:
    legs = [Leg(1_000.0, 0.0, 10.0, 0.0), Leg(1_010.0, 1_100.0, 10.0, 1_000.0)]
    clock = Clock(10.0, legs)

    assert clock.wall(0) == 1_000
    assert clock.wall(50) == 1_005
    assert clock.wall(100) == 1_010
    assert clock.wall(700) == 1_010
    assert clock.wall(1_100) == 1_010
    assert clock.wall(1_200) == 1_020


@given(st.lists(st.tuples(st.floats(0.1, 100), st.sampled_from([0.0, 1.0, 60.0]), st.floats(0, 1_000)), max_size=5))
def test_wall_time_never_runs_backwards(turns: list[tuple[float, float, float]]) -> None:
    legs = [Leg(0.0, 0.0, 1.0, 0.0)]
    for lasted, speed, skip in turns:
        last = legs[-1]
        legs.append(Leg(last.wall + lasted, last.emulated + lasted * last.speed + skip, speed, last.skipped + skip))
    clock = Clock(legs[-1].speed, legs)
    moments = [clock.wall(legs[-1].emulated * part / 20) for part in range(21)]

    assert moments == sorted(moments)
    assert moments[-1] <= legs[-1].wall + 1e-9
