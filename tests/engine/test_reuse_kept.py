"""Which answers are kept, for how long, and what a store does to a job that is not as it should be."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from airflow_provider_llmbatch.engine import advance
from airflow_provider_llmbatch.engine.begin import reopen, resume
from airflow_provider_llmbatch.engine.finish import finish
from airflow_provider_llmbatch.engine.job import Plan
from airflow_provider_llmbatch.engine.reuse import REUSED
from airflow_provider_llmbatch.exceptions import InputError, ManifestError
from airflow_provider_llmbatch.storage.answers import Segment, Store
from tests.bench import served
from tests.engine.daily import Daily, paid, refreshed

DAY = 24 * 60 * 60


@pytest.fixture(params=["anthropic", "openai"])
def bench(request, emulator, monkeypatch):
    return served(request.param, emulator, monkeypatch)


@pytest.fixture
def daily(bench, tmp_path):
    return Daily(bench, tmp_path)


# -- what is kept ------------------------------------------------------------------------------------------------------


def test_an_answer_of_a_later_round_is_that_of_the_question_asked_first(daily, emulator):
    emulator.fault("*.batches.create", row="truncated", index=[1], times=1)
    daily.run(["a", "b", "c"], max_tokens=60)
    rounds = [row["llm_round"] for row in daily.rows()]
    cost = sum(Decimal(row["llm_cost_usd"]) for row in daily.rows())

    summary = daily.run(["a", "b", "c"], max_tokens=60)

    assert rounds == [1, 2, 1]
    assert paid(emulator) == 4
    assert summary["reused"] == {"rows": 3, "saved_usd": str(cost)}  # both rounds of b


def test_what_failed_is_not_kept(daily, emulator):
    emulator.fault("*.batches.create", row="refusal", index=[0], times=1)
    emulator.fault("*.batches.create", row="truncated", index=[1], times=1)
    daily.run(["a", "b", "c"], terms={"max_rounds": 1})
    bad = [row["n"] for row in daily.rows() if row["llm_status"] != "succeeded"]

    assert bad == [0, 1]
    assert daily.run(["a", "b", "c"])["reused"]["rows"] == 1


def test_the_fallback_models_answer_is_not_kept_as_that_of_the_model_that_was_asked_first(daily, emulator):
    other = {"openai": "gpt-6-sol", "anthropic": "claude-sonnet-5-5"}[daily.bench.vendor]
    emulator.fault("*.batches.create", row="refusal", index=[1], times=1)
    daily.run(["a", "b", "c"], terms={"fallback_model": other})
    models = [row["llm_model"].startswith(other) for row in daily.rows()]

    summary = daily.run(["a", "b", "c"])

    assert models == [False, True, False]
    assert summary["reused"]["rows"] == 2


def test_the_answers_of_failed_rows_that_are_asked_once_more_are_kept_as_well(daily, emulator):
    emulator.fault("*.batches.create", row="server_error", index=[1], times=1)
    make = daily.make(["a", "b"], terms={"max_rounds": 1})
    daily.bench.complete(make)
    terms = replace(make().terms, max_rounds=3)

    def again():
        job = resume(f"file://{daily.here}/job", terms, clock=daily.bench.clock, sleep=daily.bench.clock.sleep)
        reopen(job, "by hand")
        return job

    daily.bench.complete(again)

    assert daily.run(["a", "b"])["reused"]["rows"] == 2
    assert [segment.fetch().head.answers for segment in Store(daily.uri).segments()] == [1, 1]


def test_a_segment_is_written_once_and_again_only_if_it_is_gone(daily):
    make = daily.make(["a", "b"])
    daily.bench.complete(make)
    files = {path: path.read_bytes() for path in (daily.folder / "store/v1").iterdir()}
    times = {path: path.stat().st_mtime_ns for path in files}

    finish(refreshed(make))
    assert {path: path.stat().st_mtime_ns for path in files} == times

    for path in files:
        path.unlink()
    finish(refreshed(make))
    assert {path: path.read_bytes() for path in (daily.folder / "store/v1").iterdir()} == files


# -- how old an answer may be ------------------------------------------------------------------------------------------


def test_an_answer_that_is_older_than_reuse_ttl_is_asked_anew_and_the_new_one_counts(daily, emulator):
    daily.run(["a"])
    daily.bench.clock.ahead += 10 * DAY
    ttl = {"reuse_ttl": 7.0 * DAY}

    assert daily.run(["a"], plan=ttl)["reused"]["rows"] == 0
    assert daily.run(["a"], plan=ttl)["reused"]["rows"] == 1
    assert paid(emulator) == 2
    assert daily.rows()[0]["llm_custom_id"].startswith(resume(f"file://{daily.folder}/day-2/job").spec.job_id)


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        ({"reuse_uri": "s3://lake/answers", "dedupe": False}, r"dedupe=False .* reuse_uri never asks"),
        ({"reuse_uri": "s3://lake/answers", "reuse_ttl": 0.0}, "above 0"),
        ({"reuse_ttl": 1.0}, "goes with reuse_uri"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(plan, reason):
    with pytest.raises(InputError, match=reason):
        Plan(question=None, source=None, **plan)


# -- a store that is not as it should be -------------------------------------------------------------------------------


def test_a_store_that_cannot_be_read_stops_the_job_before_anything_is_sent(daily, emulator):
    daily.run(["a"])
    (index,) = (daily.folder / "store/v1").glob("*.index")
    whole = index.read_bytes()
    index.write_bytes(whole[:-3])
    make = daily.make(["a", "b"])

    with pytest.raises(ManifestError, match="Nothing was sent"):
        advance(make())
    assert paid(emulator) == 1

    index.write_bytes(whole)
    assert daily.bench.complete(make)["reused"]["rows"] == 1


def test_a_store_that_cannot_be_written_is_a_warning_and_the_rows_are_there(daily, emulator, caplog):
    make = daily.make(["a"])
    advance(make())
    daily.bench.finish()
    (daily.folder / "store").write_text("this is no folder")

    summary = daily.bench.complete(make, steps=1)

    assert summary["counts"]["succeeded"] == 1
    assert daily.rows()[0]["llm_status"] == "succeeded"
    assert "could not be kept" in caplog.text
    (daily.folder / "store").unlink()
    finish(refreshed(make))  # as when the task is cleared
    assert daily.run(["a"])["reused"]["rows"] == 1


@pytest.mark.parametrize("gone", ["index", "jsonl"])
def test_answers_that_are_purged_while_they_are_looked_up_are_asked(daily, emulator, monkeypatch, gone):
    daily.run(["a"])
    daily.run(["b"])
    newest = Store(daily.uri).segments()[0].name
    numbers = Segment.numbers

    def purged(segment, base):
        found = numbers(segment, base)
        (daily.folder / f"store/v1/{newest}.{gone}").unlink(missing_ok=True)
        return found

    monkeypatch.setattr(Segment, "numbers", purged)

    summary = daily.run(["a", "b"])

    assert summary["reused"]["rows"] == 1
    assert [row["llm_output"].rsplit(" ", 1)[1] for row in daily.rows()] == ["a", "b"]
    assert (daily.here / "job" / REUSED).exists()


@pytest.mark.parametrize(
    ("name", "damaged"),
    [
        pytest.param(REUSED, lambda lines: lines[:-1], id="answers-cut"),
        pytest.param(REUSED, lambda lines: [b"no JSON\n", *lines], id="answers-damaged"),
        pytest.param("records/00000.jsonl", lambda lines: lines[:-1], id="records-cut"),
    ],
)
def test_rows_that_the_jobs_files_no_longer_make_are_missed(daily, name, damaged):
    daily.run(["a", "b", "c"])
    make = daily.make(["a", "b", "c"])
    assert daily.bench.complete(make)["reused"]["rows"] == 3
    path = daily.here / "job" / name
    path.write_bytes(b"".join(damaged(path.read_bytes().splitlines(keepends=True))))

    with pytest.raises(ManifestError, match="nothing is paid again"):
        finish(refreshed(make))
