"""``cache``, ``cache_ttl`` and ``warm_cache`` as a task gives them."""

from __future__ import annotations

import json

import pytest

from airflow_provider_llmbatch.decorators.job import LLMBatchJobDecoratedOperator
from airflow_provider_llmbatch.operators.job import LLMBatchJobOperator
from tests.operators.conftest import context

RECORDS = [{"text": f"text {number}"} for number in range(120)]
CACHED = {"cache": "system_and_tools", "cache_ttl": "5m", "warm_cache": True}


def from_a_list(**given):
    return LLMBatchJobOperator(source=RECORDS, **given)


def from_a_function(**given):
    return LLMBatchJobDecoratedOperator(python_callable=lambda: iter(RECORDS), **given)


@pytest.fixture(params=[from_a_list, from_a_function])
def make(request, vendor, emulator, tmp_path):
    """Return how to make the task."""
    emulator.set_options(batch_seconds=240, cache=True)  # 0.2 s of wall time
    given = {
        "task_id": "label",
        "model": f"{vendor.vendor}:{vendor.model}",
        "system": "You know the handbook. " * 300,
        "prompt": "Echo {{ record.text }}",
        "base_uri": f"file://{tmp_path}/jobs",
        "output_uri": f"file://{tmp_path}/out.jsonl",
        "deferrable": False,
        "poll_interval": 0.5,
    }
    return lambda **more: request.param(**given, **more)


def test_a_task_marks_its_requests_fills_the_cache_first_and_tells_what_it_saved(make, vendor, emulator, tmp_path):
    summary = make(**CACHED).execute(context())

    sent = [path.read_text().splitlines() for path in sorted(tmp_path.glob("jobs/**/requests/*.jsonl"))]
    marked = '"cache_control":{"type":"ephemeral","ttl":"5m"}' if vendor.vendor == "anthropic" else '"messages"'
    assert [len(lines) for lines in sent] == [1, 119]
    assert all(line.count(marked) == 1 for lines in sent for line in lines)
    assert sorted(batch["requests"] for batch in emulator.bill()["batches"]) == [1, 119]
    assert 0.5 < summary["cache_hit_ratio"] < 1
    assert float(summary["cache_saved_usd"]) > 0
    assert len(json.dumps(summary)) < 2_000
