"""The record that a dashboard reads: small whatever the job's size, and without a word of text."""

import json

from airflow_provider_llmbatch.core.batches import Batch, BatchError
from airflow_provider_llmbatch.core.progress import is_news, progress

RECORD = {
    "schema": 1,
    "job_uri": "s3://a-bucket-with-a-long-name/llmbatch/a_dag/manual__2026-11-22T10:00:00+00:00/a_task/12",
    "vendor": "anthropic",
    "model": "claude-haiku-5-5",
    "status": "in_progress",
    "round": 3,
    "records": 100_000_000,
    "created_at": 1795341600.123,
}


def batches(count, **facts):
    return [
        Batch(**{"batch_id": f"msgbatch_013Zva2CMHLNnXjNJJKq{n:04}", "status": "in_progress"} | facts)
        for n in range(count)
    ]


def test_the_record_stays_below_1_kb_with_a_thousand_batches():
    seen = [
        *batches(400, total=100_000, done=99_999, errored=12_345),
        *batches(300, total=100_000, status="completed"),
        *batches(300, total=100_000, status="expired"),
    ]

    assert len(json.dumps(progress(RECORD, seen, now=1795341600.123456))) < 1024


def test_no_text_gets_into_the_record():
    seen = batches(2, errors=[BatchError("invalid", "SECRET")], marker={"a": "SECRET"}, files={"input": "SECRET"})

    assert "SECRET" not in json.dumps(progress(RECORD, seen, now=0))


def test_the_record_counts_batches_and_requests():
    seen = [*batches(2, total=10, done=4, errored=1), *batches(1, total=5, status="completed", done=5, errored=0)]

    found = progress(RECORD, seen, now=1.00049)

    assert found["batches"] == {"in_progress": 2, "completed": 1}
    assert found["requests"] == {"total": 25, "done": 13, "errored": 2}
    assert found["updated_at"] == 1.0
    assert found["model"] == RECORD["model"]


def test_a_vendor_that_does_not_count_leaves_the_numbers_unknown_and_not_zero():
    assert progress(RECORD, batches(2, total=5), now=0)["requests"] == {"total": 10, "done": None, "errored": None}


def test_a_record_from_before_is_not_changed():
    before = dict(RECORD)

    progress(RECORD, batches(1), now=0)

    assert before == RECORD


def test_news_is_what_differs_in_more_than_its_time():
    first = progress(RECORD, batches(1, total=2, done=0), now=1)

    assert is_news(None, first)
    assert not is_news(first, progress(RECORD, batches(1, total=2, done=0), now=2))
    assert is_news(first, progress(RECORD, batches(1, total=2, done=1), now=2))
