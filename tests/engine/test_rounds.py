"""What comes back wrong is asked again or told; every record has exactly one row."""

from __future__ import annotations

import csv
import json

import pytest

from airflow_provider_llmbatch.exceptions import IncompleteError
from tests.bench import served

RECORDS = [{"n": number, "text": f"text {number}"} for number in range(40)]


@pytest.fixture(params=["anthropic", "openai"])
def bench(request, emulator, monkeypatch):
    return served(request.param, emulator, monkeypatch)


def rows(folder):
    return [json.loads(line) for line in (folder / "out.jsonl").read_bytes().splitlines()]


def test_only_the_rows_that_failed_are_asked_again(bench, emulator, tmp_path):
    emulator.fault(
        "*.batches.create", row="server_error" if bench.vendor == "openai" else "api_error", rate=0.3, once=True
    )

    summary = bench.complete(lambda: bench.job(tmp_path, RECORDS, prompt="Echo {{ record.text }}"))

    table = rows(tmp_path)
    again = [row for row in table if row["llm_round"] == 2]
    assert {row["llm_status"] for row in table} == {"succeeded"}
    assert summary["rounds"] == 2
    assert 0 < len(again) < len(table)
    assert emulator.bill()["total"]["requests"] == len(table) + len(again)
    assert emulator.bill()["total"]["requests_billed"] == len(table)


def test_rows_that_never_ran_are_asked_again_and_paid_ones_are_kept(bench, emulator, tmp_path):
    emulator.fault("*.batches.create", expire=0.4, times=1)

    summary = bench.complete(lambda: bench.job(tmp_path, RECORDS, prompt="Echo {{ record.text }}"))

    assert summary["counts"]["succeeded"] == len(RECORDS)
    assert emulator.bill()["total"]["requests_billed"] == len(RECORDS)


@pytest.mark.parametrize("kind", ["missing", "duplicated", "foreign", "damaged"])
def test_whatever_lines_come_back_every_record_has_one_row(bench, emulator, tmp_path, kind):
    emulator.fault("*.batches.create", row=kind, count=5, times=1)

    summary = bench.complete(lambda: bench.job(tmp_path, RECORDS, prompt="Echo {{ record.text }}"))

    table = rows(tmp_path)
    assert [row["n"] for row in table] == [row["llm_index"] for row in table] == list(range(len(RECORDS)))
    assert all(row["text"] in row["llm_output"] for row in table)
    assert summary["rounds"] == (2 if kind in ("missing", "damaged") else 1)


def test_a_refusal_is_told_and_not_asked_again(bench, emulator, tmp_path):
    emulator.fault("*.batches.create", row="refusal", count=3)

    summary = bench.complete(lambda: bench.job(tmp_path, RECORDS, prompt="Echo {{ record.text }}"))

    refused = [row for row in rows(tmp_path) if row["llm_status"] == "errored"]
    assert summary["rounds"] == 1
    assert summary["errors"] == {"refusal": 3}
    assert {row["llm_error_code"] for row in refused} == {"refusal"}
    failed = (tmp_path / "job" / "failed" / "rows.jsonl").read_bytes().splitlines()
    kept = [json.loads(line) for line in failed]
    assert [[attempt["round"] for attempt in row.pop("llm_attempts")] for row in kept] == [[1]] * 3
    assert kept == refused


def test_a_job_without_one_good_row_fails_with_its_rows_written(bench, emulator, tmp_path):
    emulator.fault("*.batches.create", row="error", status=500, code="server_error", rate=1.0)

    with pytest.raises(IncompleteError, match=r"40 of 40 records have no good answer after 3 rounds .* 40 × "):
        bench.complete(lambda: bench.job(tmp_path, RECORDS, prompt="Echo {{ record.text }}"))

    assert len(rows(tmp_path)) == len(RECORDS)


def test_more_failures_than_allowed_fail_the_job(bench, emulator, tmp_path):
    emulator.fault("*.batches.create", row="refusal", count=10)

    with pytest.raises(IncompleteError, match="10 of 40"):
        bench.complete(
            lambda: bench.job(tmp_path, RECORDS, prompt="Echo {{ record.text }}", terms={"max_failed_ratio": 0.2})
        )


def test_a_csv_keeps_a_text_with_a_lone_carriage_return_in_its_row(bench, tmp_path):
    texts = ["one\rtwo", "a\nb", 'say "x"', "plain"]

    bench.complete(lambda: bench.job(tmp_path, [{"text": text} for text in texts], out="out.csv", prompt="Go"))

    with (tmp_path / "out.csv").open(newline="") as file:
        assert [row["text"] for row in csv.DictReader(file)] == texts
