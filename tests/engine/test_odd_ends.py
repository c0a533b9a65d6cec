"""Batches that end oddly: nothing is lost, the verdicts are right, and a task without one good row fails."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from airflow_provider_llmbatch.engine.finish import finish
from airflow_provider_llmbatch.exceptions import IncompleteError, ManifestError
from tests.bench import Bench, served
from tests.engine.daily import refreshed

RECORDS = [{"n": number, "text": f"text {number}"} for number in range(20)]


@pytest.fixture(params=["anthropic", "openai"])
def bench(request, emulator, monkeypatch) -> Bench:
    return served(request.param, emulator, monkeypatch)


def run(bench, folder, **terms):
    return bench.complete(lambda: bench.job(folder, RECORDS, prompt="Echo {{ record.text }}", terms=terms), steps=30)


def verdicts(folder) -> Counter:
    lines = (folder / "out.jsonl").read_bytes().splitlines()
    assert [json.loads(line)["n"] for line in lines] == list(range(len(RECORDS)))
    return Counter(json.loads(line)["llm_status"] for line in lines)


ERRORS = {"anthropic": {"code": "api_error", "status": 500}, "openai": {"code": "server_error", "status": 500}}


def test_every_row_errored_is_a_failed_task_with_every_row_written(bench, emulator, tmp_path):
    emulator.fault("*.batches.create", row="error", rate=1.0, **ERRORS[bench.vendor])

    with pytest.raises(IncompleteError, match=rf"20 of 20 .* 20 × {ERRORS[bench.vendor]['code']}.*failed.*reask=True"):
        run(bench, tmp_path)

    assert verdicts(tmp_path) == {"errored": 20}
    assert len((tmp_path / "job/failed/rows.jsonl").read_bytes().splitlines()) == 20
    assert emulator.bill()["total"]["requests_billed"] == 0


def test_every_row_expired_is_asked_again_for_nothing_and_then_told(bench, emulator, tmp_path):
    emulator.fault("*.batches.create", expire=0.0)

    with pytest.raises(IncompleteError, match=r"20 of 20 .* 20 × (batch_)?expired"):
        run(bench, tmp_path, max_rounds=1)

    assert verdicts(tmp_path) == {"expired": 20}
    assert emulator.bill()["total"]["batches"] == 6  # one round, and the five that cost nothing
    assert emulator.bill()["total"]["requests_billed"] == 0


def test_every_row_expired_once_is_no_failure(bench, emulator, tmp_path):
    emulator.fault("*.batches.create", expire=0.0, times=1)

    assert run(bench, tmp_path, max_rounds=1)["counts"]["succeeded"] == 20


@pytest.mark.parametrize("bench", ["openai"], indirect=True)
def test_a_completed_batch_without_an_output_file_is_missing_rows_and_not_success(bench, emulator, tmp_path):
    emulator.fault("openai.batches.create", no_output_file=True, times=1)

    summary = run(bench, tmp_path)

    assert (summary["counts"]["succeeded"], summary["rounds"]) == (20, 2)


@pytest.mark.parametrize("bench", ["openai"], indirect=True)
def test_a_completed_batch_without_an_output_file_for_ever_fails_the_task(bench, emulator, tmp_path):
    emulator.fault("openai.batches.create", no_output_file=True)

    with pytest.raises(IncompleteError, match="20 × missing"):
        run(bench, tmp_path)

    assert verdicts(tmp_path) == {"missing": 20}


@pytest.mark.parametrize("bench", ["openai"], indirect=True)
def test_an_error_file_without_a_name_is_none(bench, emulator, tmp_path):
    emulator.fault("openai.batches.create", empty_error_file_id=True)

    assert run(bench, tmp_path)["counts"]["succeeded"] == 20


def test_counts_that_lie_are_not_believed(bench, emulator, tmp_path):
    emulator.fault("*.batches.create", lying_counts=True, times=1)
    emulator.fault("*.batches.create", row="error", index=[1, 2, 3], times=1, **ERRORS[bench.vendor])

    summary = run(bench, tmp_path)

    assert (summary["counts"]["succeeded"], summary["rounds"]) == (20, 2)


def test_counts_that_lie_do_not_hide_that_nothing_succeeded(bench, emulator, tmp_path):
    emulator.fault("*.batches.create", lying_counts=True)
    emulator.fault("*.batches.create", row="error", rate=1.0, **ERRORS[bench.vendor])

    with pytest.raises(IncompleteError, match="20 of 20"):
        run(bench, tmp_path)

    assert verdicts(tmp_path) == {"errored": 20}


def test_records_that_were_cut_short_are_missed_and_the_output_stays_as_it_was(bench, tmp_path):
    make = lambda: bench.job(tmp_path, RECORDS, prompt="Echo {{ record.text }}")  # noqa: E731
    bench.complete(make)
    records, output = tmp_path / "job/records/00000.jsonl", tmp_path / "out.jsonl"
    whole = output.read_bytes()
    records.write_bytes(b"".join(records.read_bytes().splitlines(keepends=True)[:-1]))

    with pytest.raises(ManifestError, match=r"19 rows for 20 records.*nothing is paid again"):
        finish(refreshed(make))

    assert output.read_bytes() == whole
