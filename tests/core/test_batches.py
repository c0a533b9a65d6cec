"""How a batch stands, how it reads in a log, and when to look again."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llmbatch.core.batches import Batch, as_time, duration, next_look

OPEN = ["validating", "in_progress", "finalizing", "cancelling", "unknown"]


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        pytest.param(
            {"status": "in_progress", "total": 5000, "done": 1250},
            "Batch batch_1 - in_progress - 2m 15s - 1250/5000 done",
            id="live-counts",
        ),
        pytest.param(
            {"status": "in_progress", "total": 3, "done": 0},
            "Batch batch_1 - in_progress - 2m 15s - 0/3 done",
            id="none-done",
        ),
        pytest.param(
            {"status": "in_progress", "total": 300},
            "Batch batch_1 - in_progress - 2m 15s - 300 requests",
            id="no-live-counts",
        ),
        pytest.param(
            {"status": "validating", "total": 0, "done": 0},
            "Batch batch_1 - validating - 2m 15s",
            id="counts-not-known-yet",
        ),
        pytest.param({"status": "unknown"}, "Batch batch_1 - unknown - 2m 15s", id="hardly-anything-known"),
        pytest.param(
            {"status": "completed", "total": 3, "done": 3, "ended_at": 1060.0},
            "Batch batch_1 - completed - 1m 00s - 3/3 done",
            id="time-stops-at-the-end",
        ),
        pytest.param(
            {"status": "completed", "total": 3, "done": 3},
            "Batch batch_1 - completed - 2m 15s - 3/3 done",
            id="end-not-told",
        ),
        pytest.param({"status": "failed", "created_at": None}, "Batch batch_1 - failed - 0s", id="start-not-told"),
    ],
)
def test_progress_line(facts, line):
    batch = Batch(**{"batch_id": "batch_1", "created_at": 1000.0} | facts)

    assert batch.progress_line(now=1135.9) == line


@pytest.mark.parametrize("status", ["completed", "failed", "expired", "cancelled"])
def test_a_batch_in_a_terminal_state_is_terminal(status):
    assert Batch(batch_id="b", status=status).is_terminal


@pytest.mark.parametrize("status", OPEN)
def test_a_batch_in_any_other_state_is_open(status):
    assert not Batch(batch_id="b", status=status).is_terminal


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0s"),
        (0, "0s"),
        (59.99, "59s"),
        (60, "1m 00s"),
        (135, "2m 15s"),
        (3599, "59m 59s"),
        (3600, "1h 00m"),
        (11_100, "3h 05m"),
        (86_399, "23h 59m"),
        (86_400, "1d 00h"),
        (93_600, "1d 02h"),
    ],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


AGES = st.floats(0, 200_000)
INTERVALS = st.floats(1, 3600)
JITTERS = st.floats(0, 1, exclude_max=True)


@given(age=AGES, interval=INTERVALS, jitter=JITTERS)
def test_the_next_look_comes_within_a_twelfth_and_eleven_tenths_of_the_interval(age, interval, jitter):
    pause = next_look(age, poll_interval=interval, jitter=jitter)

    assert interval / 12 <= pause <= interval * 1.1


@given(young=AGES, old=AGES, interval=INTERVALS, jitter=JITTERS)
def test_an_older_batch_is_not_looked_at_sooner(young, old, interval, jitter):
    young, old = sorted((young, old))

    first = next_look(young, poll_interval=interval, jitter=jitter)

    assert first <= next_look(old, poll_interval=interval, jitter=jitter)


@given(age=AGES, interval=INTERVALS, jitter=JITTERS, retry_after=st.floats(0, 10_000))
def test_a_vendor_that_asks_for_time_gets_it(age, interval, jitter, retry_after):
    assert next_look(age, poll_interval=interval, jitter=jitter, retry_after=retry_after) >= retry_after


def test_a_new_batch_is_looked_at_every_few_seconds_and_an_old_one_once_per_interval():
    ages = [0, 100, 600, 86_400]

    assert [next_look(age, poll_interval=60, jitter=0) for age in ages] == [5, 10, 60, 60]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(1795300010, 1795300010.0, id="epoch"),
        pytest.param(1795300010.5, 1795300010.5, id="fraction"),
        pytest.param("2026-11-22T10:00:00Z", 1795341600.0, id="iso-zulu"),
        pytest.param("2026-11-22T10:00:00.123456Z", 1795341600.123456, id="iso-microseconds"),
        pytest.param("2026-11-22T11:00:00+01:00", 1795341600.0, id="iso-offset"),
        pytest.param("2026-11-22T10:00:00", 1795341600.0, id="iso-without-zone-is-utc"),
        pytest.param("0001-01-01T00:00:00Z", -62135596800.0, id="a-zero-time"),
        pytest.param(None, None, id="null"),
        pytest.param("", None, id="empty"),
        pytest.param("soon", None, id="not-a-time"),
        pytest.param({}, None, id="not-even-text"),
    ],
)
def test_as_time(value, expected):
    assert as_time(value) == expected


@given(st.floats(1_500_000_000, 4_000_000_000))
def test_a_time_is_read_back_whichever_way_it_is_written(seconds):
    moment = datetime.fromtimestamp(seconds, UTC)

    assert as_time(moment.isoformat()) == as_time(moment.timestamp()) == moment.timestamp()


def test_a_batch_is_written_down_small():
    """It goes into events and logs: what is not known takes no room."""
    assert msgspec.json.encode(Batch(batch_id="b", status="unknown")) == b'{"batch_id":"b","status":"unknown"}'
