"""What batches and rounds cost adds up to what the job cost; and whether the discount was given is looked into."""

from __future__ import annotations

import json
import logging
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llmbatch.core.results import NO_USAGE, Usage
from airflow_provider_llmbatch.engine.till import Receipt
from tests.bench import Bench, served

RECORDS = [{"text": f"text {number}"} for number in range(40)]


@pytest.fixture(params=["anthropic", "openai"])
def bench(request, emulator, monkeypatch) -> Bench:
    """A vendor that takes eight requests to a batch."""
    made = served(request.param, emulator, monkeypatch)
    made.connect(max_requests=8)
    return made


def run(bench: Bench, folder: Path, records: Any = RECORDS, **given: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the task's summary, and the one in the job's folder."""
    given = {"prompt": "Echo {{ record.text }}", **given}
    summary = bench.complete(lambda: bench.job(folder, records, **given))
    return summary, json.loads((folder / "job" / "summary.json").read_bytes())


def told(caplog) -> list[str]:
    """Return the warnings of the engine."""
    mine = [record for record in caplog.records if record.name.startswith("airflow_provider_llmbatch.engine")]
    return [record.getMessage() for record in mine if record.levelno == logging.WARNING]


# -- sums ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("out", "fault", "rounds"),
    [
        pytest.param("out.jsonl", {}, 1, id="runs"),
        pytest.param("out.csv", {}, 1, id="rows"),
        pytest.param("out.jsonl", {"row": "server_error", "rate": 0.4}, 3, id="rounds"),
        pytest.param("out.jsonl", {"row": "truncated", "rate": 0.3}, 3, id="paid-more-than-once"),
    ],
)
def test_batches_and_rounds_add_up_to_the_job_and_to_the_vendors_own_bill(
    bench, emulator, tmp_path, out, fault, rounds
):
    if fault:
        emulator.fault("*.batches.create", **fault)

    summary, kept = run(bench, tmp_path, out=out)

    batches, total = kept["batches"], Decimal(summary["cost_usd"])
    billed = {item["id"]: item["tokens"] for item in emulator.bill()["batches"]}
    assert summary["rounds"] == len(kept["by_round"]) == rounds
    assert [batch["batch_id"] for batch in batches] == summary["batch_ids"]
    assert sum(Decimal(batch["cost_usd"]) for batch in batches) == total > 0
    assert sum(Decimal(round_["cost_usd"]) for round_ in kept["by_round"]) == total
    for name in ("input", "output"):
        counted = [batch["usage"][f"{name}_tokens"] for batch in batches]
        assert counted == [billed[batch["batch_id"]][name] for batch in batches]
        assert sum(counted) == summary["usage"][f"{name}_tokens"]
    assert sum((Counter(batch["rows"]) for batch in batches[:5]), Counter()) == Counter(kept["by_round"][0]["rows"])
    assert [batch["requests"] for batch in batches[:5]] == [8] * 5
    assert kept.items() >= summary.items()


def test_records_that_share_an_answer_cost_it_once(bench, tmp_path):
    summary, kept = run(bench, tmp_path, [{"text": "the same"}] * 10)

    (batch,) = kept["batches"]
    assert (batch["requests"], batch["cost_usd"]) == (1, summary["cost_usd"])


@pytest.mark.parametrize("bench", ["anthropic"], indirect=True)
def test_the_task_returns_less_than_two_kilobytes_however_many_batches_there_are(bench, tmp_path):
    bench.connect(max_requests=2)

    summary, kept = run(bench, tmp_path)

    assert len(kept["batches"]) == 20
    assert len(json.dumps(summary)) < 2_000
    assert not {"batches", "by_round"} & summary.keys()


amounts = st.none() | st.decimals(0, 1, places=10)
answers = st.tuples(st.builds(Usage, input=st.integers(0, 9), output=st.integers(0, 9)), amounts)


@given(st.lists(answers | st.lists(answers, min_size=1)), st.integers(1, 3))
def test_a_receipt_adds_answers_up_however_they_come(steps, run):
    receipt = Receipt()
    receipt.RUN = run
    flat: list[tuple[Usage, Decimal | None]] = []
    for step in steps:
        if isinstance(step, list):
            receipt.add(sum((usage for usage, _ in step), NO_USAGE), [cost for _, cost in step])
            flat += step
        else:
            receipt.note(*step)
            flat.append(step)
    receipt.close()

    costs = [cost for _, cost in flat]
    assert receipt.usage == sum((usage for usage, _ in flat), NO_USAGE)
    assert receipt.cost == (None if None in costs else sum(costs))


# -- the discount ----------------------------------------------------------------------------------------------------


def test_an_ordinary_job_has_its_discount_and_no_warning(bench, tmp_path, caplog):
    summary, kept = run(bench, tmp_path)

    assert (summary["discount"], told(caplog)) == ("applied", [])
    assert {batch["full_price"] for batch in kept["batches"]} == {0}


@pytest.mark.parametrize("bench", ["anthropic"], indirect=True)
def test_a_vendor_that_bills_at_full_price_is_caught(bench, emulator, tmp_path, caplog):
    emulator.fault("*.batches.create", full_price=True, skip=1, times=2)

    summary, kept = run(bench, tmp_path)

    billed = {item["id"] for item in emulator.bill()["batches"] if item["price"] == "standard"}
    caught = {batch["batch_id"]: batch["full_price"] for batch in kept["batches"] if batch["full_price"]}
    assert summary["discount"] == "not applied"
    assert caught == dict.fromkeys(billed, 8)
    (warning,) = told(caplog)
    print(f"\n  {warning}")
    assert "not applied to 16 answers in 2 batches" in warning
    assert all(f"8 of {batch_id}" in warning for batch_id in billed)
    assert f"{summary['cost_usd']} USD at the batch price" in warning
    assert f"{summary['sync_cost_usd']} USD at the standard price" in warning


@pytest.mark.parametrize(
    ("bench", "model", "given"),
    [
        ("openai", "text-embedding-3-small", {"endpoint": "/v1/embeddings"}),
        ("anthropic", "claude-opus-4-1", {}),
    ],
    indirect=["bench"],
)
def test_a_price_list_that_fell_back_to_the_standard_price_is_caught(bench, emulator, tmp_path, caplog, model, given):
    emulator.set_options(models=(model,))

    summary, _ = run(bench, tmp_path, model=model, **given)

    (warning,) = told(caplog)
    print(f"\n  {warning}")
    assert (summary["discount"], summary["saved_usd"]) == ("unknown", "0")
    assert Decimal(summary["cost_usd"]) > 0
    assert f"No batch price is known for {model}" in warning


def test_a_model_without_a_price_costs_nobody_knows_what(bench, emulator, tmp_path, caplog):
    emulator.set_options(models=("a-model-of-ours",))

    summary, kept = run(bench, tmp_path, model="a-model-of-ours")

    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert (summary["cost_usd"], summary["sync_cost_usd"], summary["discount"]) == (None, None, "unknown")
    assert {row["llm_cost_usd"] for row in rows} == {None}
    assert {part["cost_usd"] for part in [*kept["batches"], *kept["by_round"]]} == {None}
    assert told(caplog) == ["No price is known for a-model-of-ours: the cost is unknown, not zero."]


@pytest.mark.parametrize("bench", ["openai"], indirect=True)
def test_what_takes_no_tokens_needs_no_price(bench, tmp_path, caplog):
    summary, _ = run(bench, tmp_path, model="omni-moderation-latest", endpoint="/v1/moderations")

    assert (summary["cost_usd"], summary["sync_cost_usd"], summary["discount"]) == ("0", "0", "applied")
    assert told(caplog) == []


@pytest.mark.parametrize("bench", ["openai"], indirect=True)
def test_a_batch_whose_own_usage_is_another_than_its_answers_is_told(bench, emulator, tmp_path, caplog):
    emulator.fault("*.batches.create", row="missing", index=[3], times=1)  # its answer is lost, and billed

    summary, kept = run(bench, tmp_path)

    first = kept["batches"][0]
    differ = [
        batch for batch in kept["batches"] if any(batch["usage"][n] != c for n, c in batch["vendor_usage"].items())
    ]
    warning = told(caplog)[-1]
    print(f"\n  {warning}")
    assert differ == [first]
    assert f"{first['batch_id']}: {first['vendor_usage']['input_tokens']} input_tokens, not" in warning
    assert f"not {first['usage']['output_tokens']}" in warning
    assert "other tokens for 1 batches" in warning
    assert summary["discount"] == "applied"
