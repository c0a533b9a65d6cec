"""Yesterday's failures, asked again by another task: from the job, or from its folder of failed rows."""

from __future__ import annotations

import json

import pytest

from airflow_provider_llmbatch._compat import AirflowFailException
from airflow_provider_llmbatch.operators.job import LLMBatchJobOperator
from airflow_provider_llmbatch.operators.reconcile import LLMBatchReconcileOperator, without_failed
from tests.operators.conftest import context

FAILED = [3, 7]


@pytest.fixture
def yesterday(vendor, emulator, tmp_path):
    """A job that is over, with two rows that failed in every round."""
    emulator.set_options(batch_seconds=240)  # 0.2 s of wall time
    code = "server_error" if vendor.vendor == "openai" else "api_error"
    emulator.fault("*.batches.create", row="error", code=code, status=500, index=FAILED, times=3)
    task = LLMBatchJobOperator(
        task_id="label",
        source=[{"text": f"text {number}"} for number in range(10)],
        prompt="Echo {{ record.text }}",
        model=f"{vendor.vendor}:{vendor.model}",
        base_uri=f"file://{tmp_path}/jobs",
        output_uri=f"{tmp_path}/out.jsonl",
        poll_interval=0.5,
        deferrable=False,
    )
    summary = task.execute(context())
    assert (summary["counts"]["errored"], summary["rounds"]) == (2, 3)
    return summary


def again(job, folder, **given):
    return LLMBatchReconcileOperator(
        task_id="again", job=job, output_uri=f"{folder}/out.jsonl", poll_interval=0.5, deferrable=False, **given
    )


def rounds(folder) -> list[int]:
    return [json.loads(line)["llm_round"] for line in (folder / "out.jsonl").read_bytes().splitlines()]


@pytest.mark.parametrize("form", ["summary", "failed/", "failed/rows.jsonl"])
def test_the_rows_that_failed_are_asked_again_and_stand_in_the_same_output(yesterday, emulator, tmp_path, form):
    job = {"summary": yesterday}.get(form, f"{yesterday['job_uri']}/{form}")
    billed = emulator.bill()["total"]["requests_billed"]

    summary = again(job, tmp_path, **({"reask": True} if form == "summary" else {})).execute(context("again"))

    assert summary["counts"]["succeeded"] == 10
    assert [number for number, round_ in enumerate(rounds(tmp_path)) if round_ == 4] == FAILED
    assert emulator.bill()["total"]["requests_billed"] == billed + len(FAILED)


def test_a_retry_of_it_asks_nothing_more(yesterday, emulator, tmp_path):
    again(yesterday, tmp_path, reask=True).execute(context("again"))
    bill, before = emulator.bill()["total"], (tmp_path / "out.jsonl").read_bytes()

    again(yesterday, tmp_path, reask=True).execute(context("again", try_number=2))

    assert emulator.bill()["total"] == bill
    assert (tmp_path / "out.jsonl").read_bytes() == before


def test_a_reconcile_task_that_does_not_ask_for_it_pays_nothing(yesterday, emulator, tmp_path):
    bill = emulator.bill()["total"]

    summary = again(yesterday, tmp_path).execute(context("again"))

    assert summary["counts"]["errored"] == 2
    assert emulator.bill()["total"] == bill


def test_a_fallback_model_of_another_vendor_is_refused(yesterday, vendor, tmp_path):
    other = "openai" if vendor.vendor == "anthropic" else "anthropic"

    with pytest.raises(AirflowFailException, match=rf"'{other}:m' must be of the same vendor.*Nothing was sent"):
        again(yesterday, tmp_path, reask=True, fallback_model=f"{other}:m").execute(context("again"))


@pytest.mark.parametrize(
    ("uri", "job"),
    [
        ("s3://lake/job", ("s3://lake/job", False)),
        ("s3://lake/job/", ("s3://lake/job", False)),
        ("s3://lake/job/failed", ("s3://lake/job", True)),
        ("s3://lake/job/failed/", ("s3://lake/job", True)),
        ("s3://lake/job/failed/rows.jsonl", ("s3://lake/job", True)),
        ("s3://lake/failed/job", ("s3://lake/failed/job", False)),
    ],
)
def test_a_folder_of_failed_rows_tells_its_job(uri, job):
    assert without_failed(uri) == job
