"""What a job will cost is known before it is sent, better after every job, and sent later as it was prepared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_llmbatch._compat import AirflowFailException
from airflow_provider_llmbatch.operators.job import LLMBatchJobOperator
from airflow_provider_llmbatch.operators.reconcile import LLMBatchReconcileOperator
from tests.operators.conftest import context

RECORDS = [{"text": f"text {number:03} " + "and some words more " * (number % 9)} for number in range(700)]


@pytest.fixture
def base(vendor, emulator, tmp_path):
    emulator.set_options(batch_seconds=1)
    return f"file://{tmp_path}/jobs"


@pytest.fixture
def task(vendor, base, tmp_path):
    """Return how to make the asking task."""

    def make(**changes):
        given = {
            "task_id": "label",
            "model": f"{vendor.vendor}:{vendor.model}",
            "source": RECORDS,
            "prompt": "Echo {{ record.text }}",
            "max_tokens": 200,
            "base_uri": base,
            "output_uri": f"{tmp_path}/out.jsonl",
            "poll_interval": 0.2,
            "deferrable": False,
            **changes,
        }
        return LLMBatchJobOperator(**given)

    return make


def of_run(run_id, task_id="label"):
    given = context(task_id)
    given["ti"].run_id = given["run_id"] = run_id
    return given


def folder_of(result):
    return Path(result["job_uri"].removeprefix("file://"))


# -- estimate_only -----------------------------------------------------------------------------------------------


def test_an_estimate_sends_nothing_and_says_what_the_job_will_cost(task, emulator):
    told = task(estimate_only=True).execute(context())

    assert emulator.calls() == []
    assert told["status"] == "estimated"
    assert (told["counts"], told["batch_ids"]) == ({"total": len(RECORDS)}, [])
    estimate = told["estimate"]
    assert estimate["requests"] == len(RECORDS)
    assert estimate["output_tokens"] == {"expected": None, "error": 0, "at_most": 200 * len(RECORDS)}
    batch, sync = (float(estimate[name]["at_most"]) for name in ("cost_usd", "sync_cost_usd"))
    assert sync == pytest.approx(2 * batch, rel=1e-4)
    assert told["estimate_usd"] == {"expected": None, "at_most": estimate["cost_usd"]["at_most"]}
    assert len(json.dumps(told)) < 2048
    assert (folder_of(told) / "estimate.json").exists()


def test_an_estimate_needs_no_key_that_works(task, vendor, emulator):
    emulator.fault("*", status=401)

    assert task(estimate_only=True).execute(context())["status"] == "estimated"


def test_an_estimate_of_another_question_is_another_one_and_still_sends_nothing(task, emulator):
    first = task(estimate_only=True).execute(context())
    second = task(estimate_only=True, prompt="In a word: {{ record.text }}").execute(context())

    assert second["job_uri"] == first["job_uri"]
    assert second["estimate"]["input_tokens"] != first["estimate"]["input_tokens"]
    assert emulator.calls() == []


def test_an_estimate_of_another_question_never_cancels_what_runs(task, emulator):
    emulator.set_options(batch_seconds=10_000_000)
    task(wait_for_completion=False).execute(context())
    before = len(emulator.calls())

    with pytest.raises(AirflowFailException, match="an estimate cancels nothing"):
        task(estimate_only=True, prompt="In a word: {{ record.text }}").execute(context())

    assert len(emulator.calls()) == before


def test_what_was_estimated_is_sent_by_the_same_task_as_it_was_prepared(task, emulator):
    told = task(estimate_only=True).execute(context())
    requests = {path: path.read_bytes() for path in folder_of(told).glob("requests/*")}

    summary = task().execute(context(try_number=1))

    assert summary["job_uri"] == told["job_uri"]
    assert summary["counts"]["succeeded"] == len(RECORDS) == emulator.bill()["total"]["requests_billed"]
    assert summary["estimate_usd"] == told["estimate_usd"]
    assert {path: path.read_bytes() for path in folder_of(told).glob("requests/*")} == requests
    assert len(json.dumps(summary)) < 2048


def test_what_was_estimated_is_sent_by_a_reconcile_task(task, emulator, tmp_path):
    told = task(estimate_only=True).execute(context())

    collect = LLMBatchReconcileOperator(
        task_id="ask", job=told, output_uri=f"{tmp_path}/later.jsonl", poll_interval=0.2, deferrable=False
    )
    summary = collect.execute(context("ask"))

    assert summary["counts"]["succeeded"] == len(RECORDS) == emulator.bill()["total"]["requests_billed"]
    assert len((tmp_path / "later.jsonl").read_text().splitlines()) == len(RECORDS)


# -- the cap -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cap", [0.0001, "0.0001"], ids=type)
def test_a_task_above_its_cap_fails_for_good(task, emulator, cap):
    with pytest.raises(AirflowFailException, match=r"more than max_cost_usd=0\.0001\. Nothing was sent\."):
        task(max_cost_usd=cap).execute(context())

    assert emulator.bill()["total"]["batches"] == 0


@pytest.mark.parametrize("cap", ["a lot", -1, float("nan"), "inf"])
def test_a_cap_that_is_no_amount_is_refused(task, emulator, cap):
    with pytest.raises(AirflowFailException, match=r"must be US dollars, such as 25 or '0\.50'"):
        task(max_cost_usd=cap).execute(context())

    assert emulator.calls() == []


def test_a_cap_holds_for_the_task_that_continues_unless_that_names_its_own(task, emulator, tmp_path):
    told = task(estimate_only=True, max_cost_usd="0.0001").execute(context())

    def collect(**terms):
        given = {"task_id": "ask", "job": told, "output_uri": f"{tmp_path}/later.jsonl", "poll_interval": 0.2}
        return LLMBatchReconcileOperator(**given, deferrable=False, **terms).execute(context("ask"))

    with pytest.raises(AirflowFailException, match=r"more than max_cost_usd=0\.0001"):
        collect()
    assert emulator.bill()["total"]["batches"] == 0

    assert collect(max_cost_usd=5)["counts"]["succeeded"] == len(RECORDS)


# -- earlier jobs ------------------------------------------------------------------------------------------------


def close(value, actual):
    return abs(float(value) / float(actual) - 1) < 0.15


def test_a_second_run_knows_what_the_first_one_used(task, vendor):
    first = task(source=RECORDS[:150]).execute(of_run("manual__2026-11-20"))
    told = task(estimate_only=True).execute(of_run("manual__2026-11-21"))["estimate"]
    second = task().execute(of_run("manual__2026-11-21"))

    usage = second["usage"]
    print(f"\n{vendor.vendor}: first run {first['estimate_usd']} {first['cost_usd']}, second {told}, actual {usage}")
    assert told["jobs"] == 1
    assert close(told["input_tokens"]["expected"], usage["input_tokens"])
    assert close(told["output_tokens"]["expected"], usage["output_tokens"])
    assert close(told["cost_usd"]["expected"], second["cost_usd"])
    assert close(told["sync_cost_usd"]["expected"], second["sync_cost_usd"])
    assert second["estimate_usd"]["expected"] == told["cost_usd"]["expected"]


def test_answers_to_another_question_say_nothing_of_these_and_their_input_does(task):
    task(source=RECORDS[:20]).execute(of_run("manual__2026-11-20"))

    told = task(prompt="Repeat {{ record.text }}", estimate_only=True).execute(of_run("manual__2026-11-21"))["estimate"]

    assert told["jobs"] == 1
    assert told["output_tokens"]["expected"] is None
    assert told["cost_usd"]["expected"] is None


@pytest.mark.parametrize(
    ("change", "run_id", "task_id"),
    [
        pytest.param({"model": "other"}, "manual__2026-11-21", "label", id="another-model"),
        pytest.param({"task_id": "tag"}, "manual__2026-11-21", "tag", id="another-task"),
    ],
)
def test_jobs_that_are_not_alike_are_not_learned_from(task, vendor, change, run_id, task_id):
    task(source=RECORDS[:20]).execute(of_run("manual__2026-11-20"))
    if "model" in change:
        change = {"model": f"{vendor.vendor}:{'gpt-6-sol' if vendor.vendor == 'openai' else 'claude-sonnet-5-5'}"}

    told = task(estimate_only=True, **change).execute(of_run(run_id, task_id))

    assert told["estimate"]["jobs"] == 0


def test_the_latest_five_jobs_count_and_unfinished_ones_do_not(task):
    for day in range(1, 8):
        task(source=RECORDS[:5]).execute(of_run(f"scheduled__2026-11-0{day}"))
    task(source=RECORDS[:5], estimate_only=True).execute(of_run("scheduled__2026-11-08"))

    told = task(estimate_only=True).execute(of_run("manual__2026-11-09"))

    estimate = json.loads((folder_of(told) / "estimate.json").read_text())
    assert estimate["jobs"] == [f"scheduled__2026-11-0{day}" for day in (7, 6, 5, 4, 3)]


def test_earlier_jobs_that_cannot_be_read_are_a_warning(task, caplog, capfd):
    first = task(source=RECORDS[:5]).execute(of_run("manual__2026-11-20"))
    (folder_of(first) / "summary.json").write_text("{")

    told = task(estimate_only=True).execute(of_run("manual__2026-11-21"))

    assert told["estimate"]["jobs"] == 0
    assert "Earlier jobs could not be read, so the estimate goes without them" in caplog.text + capfd.readouterr().out
