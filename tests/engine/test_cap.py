"""A job stays under its cap: before it is sent, between two rounds and between two shards; and what is paid is kept."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from airflow_provider_llmbatch.engine import Done, advance, expect, start
from airflow_provider_llmbatch.engine.cap import cost_of, spent
from airflow_provider_llmbatch.engine.landing import land
from airflow_provider_llmbatch.engine.manage import status_of
from airflow_provider_llmbatch.exceptions import CostCapError, IncompleteError
from tests.bench import served

DEAR = {"openai": "gpt-6-astra", "anthropic": "claude-fable-5-1"}
"""25 USD for a million tokens of output in a batch (FACTS §5.1)."""
RECORDS = [{"n": number, "text": f"text number {number:02}"} for number in range(30)]
PER_BATCH = 5


@pytest.fixture(params=["anthropic", "openai"])
def bench(request, emulator, monkeypatch):
    """A vendor whose batches end when the test says so."""
    emulator.set_options(speed=0, batch_seconds=600)
    found = served(request.param, emulator, monkeypatch)
    found.connect(max_requests=PER_BATCH)
    return found


def make(bench, folder, cap=None, records=RECORDS, *, max_tokens=200, model=None, **terms):
    """Begin the job, or go on with it, under *cap*."""
    return bench.job(
        folder,
        records,
        prompt="Echo {{ record.text }}",
        max_tokens=max_tokens,
        model=model or bench.model,
        terms={"max_cost_usd": None if cap is None else Decimal(cap)} | terms,
    )


def rows(folder):
    return [json.loads(line) for line in (folder / "out.jsonl").read_bytes().splitlines()]


def posts(emulator):
    return [call["path"] for call in emulator.calls() if call["method"] == "POST"]


def paid(emulator):
    return emulator.bill()["total"]["requests_billed"]


# -- before anything is sent -------------------------------------------------------------------------------------


def test_a_job_of_412_dollars_stops_before_anything_is_sent(bench, emulator, tmp_path):
    """206 answers of 80,000 tokens at 25 USD a million are 412 USD."""
    records = [{"text": f"story {number}"} for number in range(206)]
    dear = {"records": records, "max_tokens": 80_000, "model": DEAR[bench.vendor]}

    with pytest.raises(CostCapError) as refused:
        advance(make(bench, tmp_path, 50, **dear))

    print(f"\n{refused.value}")
    assert "up to 412." in str(refused.value)
    assert "more than max_cost_usd=50. Nothing was sent." in str(refused.value)
    assert 412 <= Decimal(refused.value.context["estimated_usd"]) < 413
    assert posts(emulator) == []
    requests = {path.name: path.read_bytes() for path in tmp_path.glob("job/requests/*")}

    summary = bench.complete(lambda: make(bench, tmp_path, 500, **dear), steps=40)

    assert summary["counts"]["succeeded"] == len(records) == paid(emulator)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("job/requests/*")} == requests
    assert Decimal(summary["cost_usd"]) < Decimal(summary["estimate_usd"]["at_most"]) < 413


def test_a_task_that_does_not_wait_sends_nothing_above_the_cap_either(bench, emulator, tmp_path):
    with pytest.raises(CostCapError):
        start(make(bench, tmp_path, "0.000001"))

    assert posts(emulator) == []


def test_a_cap_that_is_just_met_is_not_exceeded(bench, tmp_path):
    most = expect(make(bench, tmp_path)).cost_usd.at_most

    assert len(advance(make(bench, tmp_path, most * Decimal("1.00001"))).batch_ids) >= 4
    assert Decimal(most) > 0


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        pytest.param({"model": "no-such-model-9"}, "no price is known for no-such-model-9", id="unknown-price"),
        pytest.param({"max_tokens": None}, "set no bound to their answers", id="unbounded"),
    ],
)
@pytest.mark.parametrize("bench", ["openai"], indirect=True)
def test_a_cap_that_cannot_be_held_is_refused(bench, emulator, tmp_path, question, reason):
    with pytest.raises(CostCapError, match=reason):
        advance(make(bench, tmp_path, 1_000_000, **question))

    assert posts(emulator) == []


@pytest.mark.parametrize("bench", ["openai"], indirect=True)
def test_an_unknown_price_without_a_cap_is_said_to_be_unknown(bench, tmp_path, caplog):
    caplog.set_level("INFO")

    found = expect(make(bench, tmp_path, model="no-such-model-9"))

    assert (found.cost_usd, found.sync_cost_usd, found.saved_usd) == (None, None, None)
    assert found.in_short() == {"expected": None, "at_most": None}
    assert caplog.text.count("cost unknown, since no price is known for no-such-model-9") == 1


# -- between two rounds ------------------------------------------------------------------------------------------


def status(job):
    job.refresh()
    return status_of(job)


def test_a_second_round_that_would_cross_the_cap_is_not_sent_and_every_answer_is_kept(bench, emulator, tmp_path):
    """Every answer is cut off, so that a second round would ask all of them for twice as much."""
    short = {"max_tokens": 4}
    cap = expect(make(bench, tmp_path, **short)).cost_usd.at_most * Decimal("1.01")

    with pytest.raises(CostCapError) as stopped:
        bench.complete(lambda: make(bench, tmp_path, cap, **short))

    print(f"\n{stopped.value}")
    facts = stopped.value.context
    first = emulator.bill()["total"]["batches"]
    assert "round 2 would cost up to" in str(stopped.value)
    assert Decimal(facts["spent_usd"]) + Decimal(facts["estimated_usd"]) > cap > Decimal(facts["spent_usd"]) > 0
    assert paid(emulator) == len(RECORDS)
    assert [row["llm_error_code"] for row in rows(tmp_path)] == ["truncated"] * len(RECORDS)
    assert sum(Decimal(row["llm_cost_usd"]) for row in rows(tmp_path)) == Decimal(facts["spent_usd"])
    assert status(make(bench, tmp_path, cap, **short)) == "capped"

    summary = bench.complete(lambda: make(bench, tmp_path, 10 * cap, **short))

    assert status(make(bench, tmp_path, cap, **short)) == summary["status"] == "completed"
    assert summary["counts"]["succeeded"] == len(RECORDS)
    billed = [batch["requests"] for batch in emulator.bill()["batches"]]
    assert sum(billed[:first]) == len(RECORDS)  # the first round was not paid again
    assert len(billed) - first == 6 * (summary["rounds"] - 1)


def test_a_cap_that_comes_later_counts_what_was_spent_without_one(bench, emulator, tmp_path):
    with pytest.raises(IncompleteError):
        bench.complete(lambda: make(bench, tmp_path, max_tokens=4, max_rounds=1))
    cost = sum(Decimal(row["llm_cost_usd"]) for row in rows(tmp_path))

    job = make(bench, tmp_path, cost, max_tokens=4, max_rounds=2)
    with pytest.raises(CostCapError, match="round 2 would cost up to"):
        advance(job)

    assert spent(job) == cost
    assert paid(emulator) == len(RECORDS)


# -- between two shards ------------------------------------------------------------------------------------------


def run(bench, emulator, folder, cap, **changes):
    """Run the job to its end; return how many batches were at the vendor after each step."""
    seen = []
    for _ in range(40):
        job = make(bench, folder, cap, **changes)
        outcome = advance(job)
        if isinstance(outcome, Done):
            return seen
        seen.append(len(outcome.batch_ids))
        emulator.advance(700)
    raise AssertionError("the job does not end")


def test_shards_wait_until_the_price_of_others_is_known_and_leaves_room(bench, emulator, tmp_path):
    """The cap is lowered while two of six shards run: a third fits as soon as those cost less than they might."""
    whole = expect(make(bench, tmp_path))
    share = whole.cost_usd.at_most / 6
    sent = advance(make(bench, tmp_path, whole.cost_usd.at_most * 2, max_active_batches=2))
    assert len(sent.batch_ids) == 2

    waiting = advance(make(bench, tmp_path, share * Decimal("2.5")))
    assert (len(waiting.batch_ids), waiting.until) == (2, "any")
    emulator.advance(700)
    seen = run(bench, emulator, tmp_path, share * Decimal("2.5"))

    assert seen[0] == 2
    assert paid(emulator) == len(RECORDS)
    assert [row["n"] for row in rows(tmp_path)] == [record["n"] for record in RECORDS]
    assert sum(Decimal(row["llm_cost_usd"]) for row in rows(tmp_path)) < share * Decimal("2.5")


def test_shards_that_never_fit_stop_the_job_once_the_others_are_collected(bench, emulator, tmp_path):
    """Each answer takes all that it may, so that the price of the first shards leaves no room for the next."""
    full = {"max_tokens": 8}
    share = expect(make(bench, tmp_path, **full)).cost_usd.at_most / 6
    advance(make(bench, tmp_path, share * 12, max_active_batches=2, **full))

    with pytest.raises(CostCapError) as stopped:
        run(bench, emulator, tmp_path, share * Decimal("1.9"), **full)

    print(f"\n{stopped.value}")
    assert "4 shards of round 1 are left" in str(stopped.value)
    assert paid(emulator) == 2 * PER_BATCH

    run(bench, emulator, tmp_path, share * 12, **full)

    assert paid(emulator) == len(RECORDS) == len(rows(tmp_path))
    assert emulator.bill()["total"]["batches"] == 6


@pytest.mark.parametrize("round_", [1, 2])
def test_what_was_just_read_costs_the_same_as_what_is_read_again(bench, emulator, tmp_path, round_):
    emulator.fault("*.batches.create", row="error", code="api_error", status=500, index=[0, 2], once=True)
    bench.complete(lambda: make(bench, tmp_path, 1, max_rounds=2, max_failed_ratio=1.0))
    job = make(bench, tmp_path, 1)
    shards = [shard for shard in job.refresh().shards if shard.round == round_]

    for shard in shards:
        path = job.folder.files.local(job.folder.results_name(shard))
        assert cost_of(job, shard, land(job, shard, path)) == cost_of(job, shard) == shard.cost_usd
    assert sum(shard.cost_usd for shard in shards) > 0
