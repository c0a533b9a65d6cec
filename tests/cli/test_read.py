"""``jobs`` and ``show``: what a folder tells, without a key."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_llmbatch.operators.reconcile import LLMBatchReconcileOperator
from tests.operators.conftest import context


@pytest.fixture
def folder(submit):
    """Turn a job's URI into its path."""
    return lambda uri: Path(uri.removeprefix("file://"))


def test_jobs_lists_every_job_below_a_base_uri_and_none_that_was_moved_aside(run, submit, base):
    one, two = submit("one"), submit("two")
    submit("two", prompt="Something else: {{ record.text }}")

    told = run("jobs", base)

    assert told.code == 0
    header, *lines = told.out.splitlines()
    assert header.split() == ["STATUS", "VENDOR", "MODEL", "RECORDS", "BATCHES", "BEGUN", "JOB", "URI"]
    assert [line.split()[-1] for line in lines] == [one, two]
    assert [line.split()[0] for line in lines] == ["running", "running"]
    assert [line.split()[3:5] for line in lines] == [["20", "2"]] * 2


def test_jobs_lists_the_jobs_of_a_mapped_task_one_by_one(run, submit, base, folder):
    uri = submit("mapped")
    target = folder(uri) / "0"
    rest = list(folder(uri).iterdir())
    target.mkdir()
    for path in rest:
        path.rename(target / path.name)

    lines = [json.loads(line) for line in run("jobs", base, "--json").out.splitlines()]

    assert [line["job_uri"] for line in lines] == [f"{uri}/0"]


def test_jobs_takes_the_folder_of_a_run_and_that_of_a_job_too(run, submit):
    uri = submit()

    found = [json.loads(run("jobs", where, "--json").out)["job_uri"] for where in (uri.rpartition("/")[0], uri)]

    assert found == [uri, uri]


def test_a_folder_without_jobs_is_said_to_have_none(run, tmp_path):
    told = run("jobs", f"file://{tmp_path}")

    assert (told.code, told.err) == (0, "")
    assert told.out.startswith("No jobs below file://")


def test_one_damaged_folder_does_not_hide_the_others(run, submit, base, folder):
    good, bad = submit("good"), submit("bad")
    (folder(bad) / "job.json").write_text("{")

    told = run("jobs", base)

    assert told.code == 1
    assert good in told.out
    assert "bad/job.json' is there but cannot be read" in told.err


def test_show_says_what_was_asked_and_how_far_each_shard_is(run, submit, vendor):
    uri = submit(output_uri=None)

    told = run("show", uri)

    assert told.code == 0
    assert f"{vendor.vendor}:{vendor.model} on connection {vendor.vendor}_default" in told.out
    assert "reviews · manual__2026-11-22 · label" in told.out
    assert [line.split()[:2] for line in told.out.splitlines() if line.startswith("  r1-")] == [
        ["r1-00000", "submitted"],
        ["r1-00001", "submitted"],
    ]


def test_show_needs_no_connection_and_makes_no_call(run, submit, vendor, emulator, monkeypatch):
    uri = submit()
    monkeypatch.delenv(f"AIRFLOW_CONN_{vendor.vendor.upper()}_DEFAULT")
    before = emulator.counts()

    assert run("show", uri, "--json").code == 0
    assert emulator.counts() == before


def test_show_live_asks_the_vendor_how_the_open_batches_stand(run, submit, vendor):
    uri = submit()

    (round_,) = json.loads(run("show", uri, "--live", "--json").out)["rounds"]

    assert {shard["batch_status"] for shard in round_["shards"]} <= {"validating", "in_progress"}


def test_show_of_a_finished_job_brings_counts_cost_and_times(run, submit, vendor, emulator):
    emulator.set_options(batch_seconds=60)
    uri = submit()
    vendor.finish()
    LLMBatchReconcileOperator(task_id="collect", job=uri, poll_interval=0.5, deferrable=False).execute(
        context("collect")
    )

    facts = json.loads(run("show", uri, "--json").out)

    shards = facts["rounds"][0]["shards"]
    assert facts["status"] == "completed"
    assert [shard["rows"] for shard in shards] == [{"succeeded": 10}] * 2
    assert all(shard["submitted"] and shard["ended"] for shard in shards)
    assert facts["summary"]["counts"]["succeeded"] == 20
    assert all(shard["in_progress"] <= shard["ended"] and shard["collected"] for shard in shards)
    shown = run("show", uri).out
    assert f"cost     {facts['summary']['cost_usd']} USD\n  discount applied\n" in shown
    for shard, batch in zip(shards, facts["summary"]["batches"], strict=True):
        assert f"{shard['batch_id']}  {batch['cost_usd']} USD  {shard['submitted']}  {shard['in_progress']}" in shown
        assert shard["collected"] in shown


def test_no_record_and_no_key_is_shown(run, submit, base):
    uri = submit()

    said = run("show", uri).out + run("show", uri, "--json").out + run("jobs", base).out

    assert "SECRET" not in said
    assert "sk-contract" not in said


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        ([], 2, "required"),
        (["price", "file:///nowhere"], 2, "invalid choice"),
        (["jobs", "file:///nowhere"], 2, "there is no folder"),
        (["jobs", "nope://bucket/x"], 2, "there is no folder"),
        (["show", "file:///nowhere"], 1, "there is no job at"),
        (["sweep", "file:///nowhere"], 2, "--vendor"),
        (["sweep", "--vendor", "opnai", "file:///nowhere"], 2, "invalid choice"),
    ],
)
def test_a_wrong_call_is_told_in_one_line_without_a_traceback(run, argv, code, message):
    told = run(*argv)

    assert told.code == code
    assert message in told.err
    assert "Traceback" not in told.err
    assert told.err.splitlines()[-1].startswith("airflow-llmbatch")


def test_stdout_is_kept_for_the_answer_whatever_others_print(run, submit, monkeypatch):
    uri = submit()
    kept = "airflow_provider_llmbatch.cli.read.summary_of"
    monkeypatch.setattr(kept, lambda job: os.write(1, b"a log line of Airflow's\n") and None)

    told = run("show", uri, "--json")

    assert json.loads(told.out)["job_uri"] == uri
    assert "a log line of Airflow's" in told.err


def test_it_runs_as_a_module_in_a_process_of_its_own(submit):
    uri = submit()

    done = subprocess.run(
        [sys.executable, "-m", "airflow_provider_llmbatch.cli", "show", uri, "--json"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert json.loads(done.stdout.splitlines()[-1])["job_uri"] == uri  # in tests, Airflow says where its settings are
