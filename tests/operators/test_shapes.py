"""One operator or three: the same engine, the same files, the same bytes."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from airflow_provider_llmbatch._compat import AirflowFailException, TaskDeferred
from airflow_provider_llmbatch.operators.cancel import LLMBatchCancelOperator
from airflow_provider_llmbatch.operators.job import LLMBatchJobOperator
from airflow_provider_llmbatch.operators.reconcile import LLMBatchReconcileOperator
from airflow_provider_llmbatch.sensors.job import LLMBatchJobSensor
from tests.operators.conftest import context

SUMMARY = {
    "job_uri", "output_uri", "vendor", "model", "status", "counts", "rounds", "batch_ids", "usage", "cost_usd",
    "sync_cost_usd", "saved_usd", "cache_hit_ratio", "cache_saved_usd", "price_source", "submitted_at",
    "in_progress_at", "completed_at", "seconds",
}  # fmt: skip


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("id,text\n" + "".join(f'r{number},"text {number}, größer"\n' for number in range(30)))
    return str(path)


@pytest.fixture
def asking(vendor, emulator, source, tmp_path):
    """Parameters of the asking task; the folder differs, the task instance does not."""
    vendor.connect(max_requests=8)
    emulator.set_options(batch_seconds=240)  # 0.2 s of wall time

    def parameters(where, **more):
        return {
            "task_id": "label",
            "model": f"{vendor.vendor}:{vendor.model}",
            "source": source,
            "prompt": "Echo {{ record.text }} on {{ ds }}",
            "key": "id",
            "base_uri": f"file://{tmp_path}/{where}",
            "poll_interval": 0.5,
            **more,
        }

    return parameters


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_one_operator_and_three_write_the_same_bytes(vendor, emulator, asking, tmp_path, suffix):
    one, three = tmp_path / f"one.{suffix}", tmp_path / f"three.{suffix}"
    emulator.fault("*.batches.create", row="missing", count=2, times=1)

    summary = LLMBatchJobOperator(**asking("a", output_uri=str(one), deferrable=False)).execute(context())
    emulator.reset()
    emulator.set_options(batch_seconds=240)
    emulator.fault("*.batches.create", row="missing", count=2, times=1)
    submitted = LLMBatchJobOperator(**asking("b", wait_for_completion=False)).execute(context())
    sensor = LLMBatchJobSensor(task_id="wait", job=submitted, poke_interval=0.5, deferrable=False)
    sensor.execute(context("wait"))
    collected = LLMBatchReconcileOperator(
        task_id="collect", job=submitted, output_uri=str(three), poll_interval=0.5, deferrable=False
    ).execute(context("collect"))

    assert submitted["status"] == "submitted"
    assert one.read_bytes() == three.read_bytes()
    assert collected["counts"] == summary["counts"]
    assert summary["rounds"] == 2


def test_three_operators_have_nothing_to_wait_for_where_every_answer_is_kept(vendor, emulator, asking, tmp_path):
    store = {"reuse_uri": f"file://{tmp_path}/answers", "reuse_ttl": timedelta(days=1)}
    LLMBatchJobOperator(**asking("a", deferrable=False, **store)).execute(context())
    paid = emulator.bill()["total"]["requests_billed"]

    submitted = LLMBatchJobOperator(**asking("b", wait_for_completion=False, **store)).execute(context())
    LLMBatchJobSensor(task_id="wait", job=submitted, deferrable=True).execute(context("wait"))
    collected = LLMBatchReconcileOperator(
        task_id="collect", job=submitted, output_uri=f"{tmp_path}/out.csv", deferrable=True
    ).execute(context("collect"))

    assert submitted["batch_ids"] == []
    assert collected["reused"]["rows"] == collected["counts"]["succeeded"] == 30
    assert emulator.bill()["total"]["requests_billed"] == paid == 30
    assert (tmp_path / "out.csv").read_text().count("succeeded") == 30


def test_equal_requests_that_are_to_be_asked_each_cannot_be_reused(vendor, asking):
    with pytest.raises(AirflowFailException, match="Drop one of the two"):
        LLMBatchJobOperator(**asking("a", dedupe=False, reuse_uri="file:///nowhere")).execute(context())


def test_the_summary_has_its_documented_names_and_stays_small(vendor, asking, tmp_path):
    output = tmp_path / "out.jsonl"

    summary = LLMBatchJobOperator(**asking("a", output_uri=str(output), deferrable=False)).execute(context())

    assert summary.keys() >= SUMMARY
    assert len(json.dumps(summary)) < 2_000
    assert summary["counts"]["succeeded"] == 30
    assert float(summary["cost_usd"]) == pytest.approx(float(summary["sync_cost_usd"]) / 2)


def test_a_deferred_task_goes_on_from_its_folder_even_if_the_dag_was_edited(vendor, emulator, asking, tmp_path):
    output = tmp_path / "out.jsonl"
    with pytest.raises(TaskDeferred) as deferred:
        LLMBatchJobOperator(**asking("a", output_uri=str(output), deferrable=True)).execute(context())
    _, arguments = deferred.value.trigger.serialize()
    vendor.finish()

    edited = LLMBatchJobOperator(
        **asking("elsewhere", output_uri=str(output), deferrable=True, prompt="Something else")
    )
    event = {"schema": 1, "reason": "ended", "job_uri": arguments["job_uri"], "batches": {}}
    summary = edited.resume(context(), event)

    assert summary["counts"]["succeeded"] == 30
    assert len(arguments["batch_ids"]) == 4
    assert json.loads(json.dumps(arguments)) == arguments


def test_a_task_that_is_cleared_lands_the_same_rows_and_pays_nothing(vendor, emulator, asking, tmp_path):
    output = tmp_path / "out.jsonl"
    make = lambda: LLMBatchJobOperator(**asking("a", output_uri=str(output), deferrable=False))  # noqa: E731
    make().execute(context())
    before, bill = output.read_bytes(), emulator.bill()
    output.unlink()

    make().execute(context(try_number=2))

    assert output.read_bytes() == before
    assert emulator.bill() == bill


def test_a_cancel_task_stops_what_runs_and_a_reconcile_task_keeps_what_was_finished(vendor, emulator, asking):
    emulator.set_options(batch_seconds=36_000)
    submitted = LLMBatchJobOperator(**asking("a", wait_for_completion=False)).execute(context())

    cancelled = LLMBatchCancelOperator(task_id="stop", job=submitted).execute(context("stop"))
    emulator.set_options(batch_seconds=240)
    vendor.finish()
    summary = LLMBatchReconcileOperator(task_id="collect", job=submitted, poll_interval=0.5, deferrable=False).execute(
        context("collect")
    )

    assert cancelled == {"cancelled": submitted["batch_ids"]}
    assert summary["counts"]["succeeded"] == 30
    assert emulator.bill()["total"]["requests_billed"] == 30


def test_the_sensor_takes_a_list_of_batch_ids(vendor, emulator, asking):
    emulator.set_options(batch_seconds=36_000)
    submitted = LLMBatchJobOperator(**asking("a", wait_for_completion=False)).execute(context())
    sensor = LLMBatchJobSensor(task_id="wait", job=submitted["batch_ids"], vendor=vendor.vendor, deferrable=False)

    before = sensor.poke(context("wait"))
    vendor.finish()

    assert not before
    assert sensor.poke(context("wait"))


def test_killing_the_task_asks_for_the_cancel(vendor, emulator, asking):
    emulator.set_options(batch_seconds=36_000)
    operator = LLMBatchJobOperator(**asking("a", deferrable=True))
    with pytest.raises(TaskDeferred):
        operator.execute(context())

    operator.on_kill()

    cancels = [call for call in emulator.calls() if call["operation"].endswith("batches.cancel")]
    assert len(cancels) == 4


def test_records_given_in_the_dag_are_never_rendered_as_templates(vendor, emulator, asking, tmp_path):
    output = tmp_path / "out.jsonl"
    evil = "{{ conn.openai_default.password }} {{ 7 * 7 }}"
    parameters = asking("a", output_uri=str(output), deferrable=False) | {"source": [{"id": "x", "text": evil}]}
    operator = LLMBatchJobOperator(**parameters)
    operator.render_template_fields(context())

    operator.execute(context())

    row = json.loads(output.read_bytes())
    assert row["text"] == evil
    assert "49" not in row["llm_output"]
    assert str(operator.source) == "<1 inline records>"


def test_a_failed_job_is_not_retried_by_airflow(vendor, emulator, asking):
    emulator.fault("*.batches.create", row="refusal", rate=1.0)

    with pytest.raises(AirflowFailException, match="30 of 30 records have no good answer after 1 rounds"):
        LLMBatchJobOperator(**asking("a", deferrable=False)).execute(context())
