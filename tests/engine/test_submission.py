"""A lost answer to the paid call never makes a second bill. The emulator's books are the judge."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_llmbatch.engine import Wait, advance
from airflow_provider_llmbatch.exceptions import BudgetExhaustedError, CredentialError, RejectedError, RunError
from tests.engine.test_rounds import RECORDS, bench, rows  # noqa: F401 - the fixture


@pytest.fixture
def make(bench, tmp_path):  # noqa: F811
    return lambda: bench.job(tmp_path, RECORDS, prompt="Echo {{ record.text }}")


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"reset_after": True}, id="processed-then-reset"),
        pytest.param({"reset_before": True}, id="reset-before-it-was-processed"),
        pytest.param({"status": 500}, id="500"),
        pytest.param({"status": 529}, id="529"),
        pytest.param({"garble": True}, id="damaged-answer"),
        pytest.param({"cut": 20}, id="cut-answer"),
        pytest.param({"status": 429, "retry_after": 30}, id="429-with-retry-after"),
        pytest.param({"status": 429}, id="429"),
        pytest.param({"reset_after": True, "list_lag": 1.0}, id="reset-and-the-list-lags"),
    ],
)
def test_one_batch_is_paid_for_whatever_happens_to_the_create_call(bench, emulator, make, fault, tmp_path):  # noqa: F811
    emulator.fault("*.batches.create", times=1, **fault)

    summary = bench.complete(make)

    bill = emulator.bill()
    assert [batch["requests"] for batch in bill["batches"]] == [len(RECORDS)]
    assert summary["batch_ids"] == [batch["id"] for batch in bill["batches"]]
    assert len(rows(tmp_path)) == len(RECORDS)


def test_the_create_call_is_made_once_however_often_the_sdk_would_like_to(bench, emulator, make):  # noqa: F811
    emulator.fault("*.batches.create", status=500)

    with pytest.raises(AssertionError, match="not done"):
        bench.complete(make, steps=1)

    creates = [call for call in emulator.calls() if call["operation"].endswith("batches.create")]
    assert len(creates) == 1


def test_a_batch_that_is_not_found_is_not_sent_again_before_the_list_can_have_it(bench, emulator, make):  # noqa: F811
    emulator.fault("*.batches.create", reset_before=True, times=1)

    first, second = advance(make()), advance(make())

    assert isinstance(first, Wait)
    assert isinstance(second, Wait)
    assert first.batch_ids == second.batch_ids == []
    assert emulator.bill()["total"]["batches"] == 0
    bench.clock.ahead += 40
    assert len(advance(make()).batch_ids) == 1


@pytest.mark.parametrize("bench", ["openai"], indirect=True)
def test_a_service_without_a_list_is_not_asked_again_when_an_answer_is_lost(bench, emulator, make):  # noqa: F811
    bench.connect(list_mode="none")
    emulator.fault("*.batches.create", reset_after=True, times=1)

    for _ in range(2):
        with pytest.raises(RunError, match=r"has no list of batches.*Nothing was sent again"):
            advance(make())

    assert emulator.bill()["total"]["batches"] == 1
    assert "openai.batches.list" not in emulator.counts()


@pytest.mark.parametrize("bench", ["openai"], indirect=True)
def test_a_service_without_a_list_runs_a_job_all_the_same(bench, emulator, make):  # noqa: F811
    bench.connect(list_mode="none")

    assert bench.complete(make)["counts"]["succeeded"] == len(RECORDS)
    assert "openai.batches.list" not in emulator.counts()


def test_a_clear_no_stops_the_job_and_a_retry_sends_it_once(bench, emulator, make):  # noqa: F811
    emulator.fault("*.batches.create", status=400, code="invalid_request_error", times=1)

    with pytest.raises(RejectedError):
        advance(make())

    assert bench.complete(make)["counts"]["succeeded"] == len(RECORDS)
    assert emulator.bill()["total"]["batches"] == 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 401, "code": "authentication_error"}, CredentialError),
        ({"status": 403, "code": "permission_error"}, CredentialError),
        (
            {"status": 429, "code": "insufficient_quota", "details": "enforced_spend_limit_reached"},
            BudgetExhaustedError,
        ),
    ],
)
def test_what_only_a_person_can_mend_stops_the_job_at_once(bench, emulator, make, fault, error):  # noqa: F811
    emulator.fault("*.batches.create", times=1, **fault)

    with pytest.raises(error):
        advance(make())

    assert emulator.bill()["total"]["batches"] == 0


def test_a_full_queue_puts_the_shard_back_and_nothing_is_lost(bench, emulator, make):  # noqa: F811
    if bench.vendor == "openai":
        emulator.fault("openai.batches.create", fail="token_limit_exceeded", times=2)
    else:
        emulator.fault("anthropic.batches.create", status=429, times=2)

    summary = bench.complete(make)

    assert summary["counts"]["succeeded"] == len(RECORDS)
    assert emulator.bill()["total"]["requests_billed"] == len(RECORDS)


def test_a_shard_that_waits_for_room_is_not_looked_after_before_there_is_any(bench, emulator, make):  # noqa: F811
    emulator.fault("*.batches.create", status=429, retry_after=5, times=1)
    bench.connect(max_requests=20)
    one_at_a_time = lambda: replace_terms(make(), max_active_batches=1)  # noqa: E731

    busy = advance(one_at_a_time())
    bench.clock.ahead += 10
    waiting = advance(one_at_a_time())

    assert busy.wake_at is not None
    assert len(waiting.batch_ids) == 1
    assert (waiting.until, waiting.wake_at) == (
        "any",
        None,
    )  # a time that is over would call it again at once, for ever
    assert bench.complete(one_at_a_time)["counts"]["succeeded"] == len(RECORDS)


def replace_terms(job, **changes):
    job.terms = replace(job.terms, **changes)
    return job


def test_looks_that_fail_end_nothing(bench, emulator, make):  # noqa: F811
    advance(make())
    emulator.fault("*.batches.retrieve", status=503, times=3)

    assert bench.complete(make)["counts"]["succeeded"] == len(RECORDS)


@pytest.mark.parametrize("fault", [{"cut": 300}, {"status": 500}, {"reset_after": True}, {"reset_before": True}])
def test_a_broken_download_is_made_again(bench, emulator, make, fault, monkeypatch):  # noqa: F811
    monkeypatch.setattr("airflow_provider_llmbatch.hooks.download.time.sleep", lambda seconds: None)
    advance(make())
    bench.finish()
    emulator.fault(
        "openai.files.content" if bench.vendor == "openai" else "anthropic.batches.results", times=1, **fault
    )

    assert bench.complete(make)["counts"]["succeeded"] == len(RECORDS)
