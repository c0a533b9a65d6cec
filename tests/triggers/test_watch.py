"""When to go on: something has ended, it is time, or patience is over; and what is said meanwhile."""

import json
import re
import time
from dataclasses import asdict

import pytest

from airflow_provider_llmbatch.exceptions import CredentialError, UnavailableError
from airflow_provider_llmbatch.triggers.watch import Waiting, Watcher

NEVER = 4_000_000_000.0


class Log:
    """Keeps what is logged, by level."""

    def __init__(self):
        self.lines = []

    def info(self, event, *args):
        self.lines.append(("info", event % args))

    def warning(self, event, *args):
        self.lines.append(("warning", event % args))

    def of(self, level):
        return [line for found, line in self.lines if found == level]


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def wait(ledger, run, log):
    """Wait for batches that stand as given; return the event."""

    def until_something(statuses, **waiting):
        ledger.statuses |= statuses
        facts = {"vendor": "ledger", "conn_id": None, "batch_ids": list(statuses), "poll_interval": 0.06}
        return run(Watcher(Waiting(**facts | waiting), log).run())

    return until_something


@pytest.mark.parametrize(
    ("statuses", "waiting", "reason"),
    [
        pytest.param({"a": "completed"}, {}, "ended", id="one-has-ended"),
        pytest.param({"a": "completed", "b": "expired"}, {}, "ended", id="all-have-ended"),
        pytest.param({"a": "failed", "b": "in_progress"}, {"until": "any"}, "ended", id="any-is-enough"),
        pytest.param({"a": "cancelled", "b": "in_progress"}, {"wake_at": 0.2}, "wake", id="all-are-wanted"),
        pytest.param({"a": "in_progress"}, {"wake_at": 0.2}, "wake", id="wake"),
        pytest.param({"a": "in_progress"}, {"give_up_at": 0.2}, "deadline", id="deadline"),
        pytest.param({"a": "in_progress"}, {"wake_at": 0.1, "give_up_at": 60}, "wake", id="wake-before-the-deadline"),
        pytest.param({"a": "in_progress"}, {"wake_at": 0, "give_up_at": 0}, "wake", id="wake-over-deadline"),
        pytest.param({"a": "completed"}, {"wake_at": 60, "give_up_at": 60}, "ended", id="ended-before-its-time"),
        pytest.param(
            {"a": "in_progress", "c": "completed"},
            {"batch_ids": ["a"], "candidates": ["c"], "until": "any"},
            "ended",
            id="a-candidate-has-ended",
        ),
        pytest.param(
            {"a": "completed", "c": "in_progress"},
            {"batch_ids": ["a"], "candidates": ["c"], "wake_at": 0.2},
            "wake",
            id="a-candidate-is-waited-for-too",
        ),
        pytest.param({}, {"batch_ids": ["unheard-of"], "wake_at": 0.2}, "wake", id="not-in-the-list-yet"),
        pytest.param({}, {"wake_at": 0.1}, "wake", id="nothing-to-watch"),
    ],
)
def test_reason(wait, statuses, waiting, reason):
    moments = {name: time.time() + waiting[name] for name in ("wake_at", "give_up_at") if name in waiting}

    assert wait(statuses, **waiting | moments)["reason"] == reason


def test_when_it_is_time_already_nobody_is_asked(wait, ledger):
    assert wait({"a": "completed"}, give_up_at=time.time() - 1)["reason"] == "deadline"
    assert ledger.calls == []


def test_the_event_says_how_every_batch_stands_and_where_to_go_on(wait):
    event = wait({"a": "completed", "b": "in_progress"}, until="any", job_uri="s3://lake/job")

    assert event == {
        "schema": 1,
        "job_uri": "s3://lake/job",
        "reason": "ended",
        "batches": {"a": "completed", "b": "in_progress"},
    }
    assert json.loads(json.dumps(event)) == event


def test_looks_that_fail_do_not_end_the_waiting(wait, ledger, log):
    ledger.failures += [UnavailableError("no answer"), CredentialError("revoked", status=401), KeyError("odd")]

    assert wait({"a": "completed"})["reason"] == "ended"
    assert len(ledger.calls) == 4


def test_looks_that_fail_for_ever_end_with_the_deadline(wait, ledger):
    ledger.failures += [UnavailableError("no answer")] * 10_000

    assert wait({"a": "completed"}, give_up_at=time.time() + 0.3)["reason"] == "deadline"


def test_a_vendor_that_does_not_answer_is_logged_now_and_then_and_not_every_time(wait, ledger, log):
    ledger.failures += [UnavailableError("no answer")] * 25

    wait({"a": "completed"}, poll_interval=0.01)

    assert log.of("warning") == ["A look at the batches failed and says nothing about them: no answer"] * 3


def test_a_batch_is_logged_once_for_every_change(wait, ledger, log):
    wait({"a": "in_progress", "b": "completed"}, wake_at=time.time() + 0.3)

    first, second = sorted(log.of("info"))
    assert re.fullmatch(r"Batch a - in_progress - \d+d \d\dh - 2 requests", first)
    assert second == "Batch b - completed - 1m 00s - 2 requests"


def test_a_record_that_cannot_be_written_does_not_stop_the_waiting(wait):
    """There is no Airflow database here."""
    identity = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1}

    assert wait({"a": "completed"}, task_instance=identity, record={"schema": 1})["reason"] == "ended"


def test_what_to_wait_for_is_json():
    waiting = Waiting(vendor="openai", conn_id=None, batch_ids=["a"], wake_at=1.5, give_up_at=NEVER)

    assert Waiting(**json.loads(json.dumps(asdict(waiting)))) == waiting
