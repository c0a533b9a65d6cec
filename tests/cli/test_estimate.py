"""``estimate``: what a job will cost, and what it did."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import RECORDS


def test_it_says_what_a_prepared_job_will_cost_without_a_call(run, submit, vendor, emulator, monkeypatch):
    uri = submit(estimate_only=True, max_tokens=50)
    monkeypatch.delenv(f"AIRFLOW_CONN_{vendor.vendor.upper()}_DEFAULT")

    told = run("estimate", uri)

    assert told.code == 0
    assert emulator.calls() == []
    first, second, header, *lines = told.out.splitlines()
    assert first == uri
    assert second.split()[:4] == [f"{len(RECORDS)}", "requests", "to", f"{vendor.vendor}:{vendor.model};"]
    assert header.split() == ["EXPECTED", "ERROR", "AT", "MOST", "ACTUAL"]
    assert [line.split()[0] for line in lines] == ["input", "output", "USD", "USD"]
    assert lines[1].split()[2:] == ["unknown", "-", f"{50 * len(RECORDS):,}", "-"]


def test_it_says_what_a_finished_job_cost_besides(run, submit, vendor, emulator):
    emulator.set_options(batch_seconds=1)
    uri = submit(wait_for_completion=True, poll_interval=0.2)
    summary = json.loads((Path(uri.removeprefix("file://")) / "summary.json").read_text())

    told, as_json = run("estimate", uri), json.loads(run("estimate", uri, "--json").out)

    assert [line.split()[-1] for line in told.out.splitlines()[3:]] == [
        f"{summary['usage']['input_tokens']:,}",
        f"{summary['usage']['output_tokens']:,}",
        summary["cost_usd"],
        summary["sync_cost_usd"],
    ]
    assert as_json["actual"]["cost_usd"] == summary["cost_usd"]
    assert as_json["cost_usd"]["at_most"] == summary["estimate_usd"]["at_most"]


def test_it_estimates_a_job_of_an_earlier_release_and_writes_nothing(run, submit):
    uri = submit()
    path = Path(uri.removeprefix("file://")) / "estimate.json"
    path.unlink()

    assert run("estimate", uri).code == 0
    assert not path.exists()


def test_a_job_whose_requests_are_not_written_is_said_to_have_none(run, submit):
    uri = submit(prompt="{{ record.missing }}", errors=True)

    told = run("estimate", uri)

    assert told.code == 2
    assert "are not written yet, so there is nothing to estimate" in told.err
