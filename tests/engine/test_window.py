"""Twelve shards, and a queue that holds three: every batch is taken, no task fails, and nothing is sent in vain."""

from __future__ import annotations

import json

import pytest

from airflow_provider_llmbatch.engine import Done, advance
from tests.bench import served

RECORDS = [{"n": number, "text": f"text number {number:02} " + "of some length, " * 30} for number in range(60)]
PER_BATCH = 5


@pytest.fixture(params=["anthropic", "openai"])
def bench(request, emulator, monkeypatch):
    found = served(request.param, emulator, monkeypatch)
    found.connect(max_requests=PER_BATCH)
    return found


def run(bench, emulator, folder, **terms):
    """Run the job to its end; return how many batches were at the vendor at once, at most."""
    most = 0
    for _ in range(200):
        job = bench.job(folder, RECORDS, prompt="Echo {{ record.text }}", terms=terms)
        outcome = advance(job)
        if isinstance(outcome, Done):
            rows = [json.loads(line) for line in (folder / "out.jsonl").read_bytes().splitlines()]
            assert [row["n"] for row in rows] == [record["n"] for record in RECORDS]
            assert {row["llm_status"] for row in rows} == {"succeeded"}
            return most
        most = max(most, len(outcome.batch_ids))
        assert outcome.batch_ids or outcome.wake_at  # there is something to wait for
        bench.finish()
        if not outcome.batch_ids:
            bench.clock.ahead += max(0.0, outcome.wake_at - bench.clock()) + 1
    raise AssertionError("the job does not end")


def tokens_of_a_shard(bench, emulator, folder) -> int:
    """Return what the emulator counts for one shard, by running all of them."""
    run(bench, emulator, folder)
    total = emulator.bill()["total"]["tokens"]["input"]
    emulator.reset()
    return total // (len(RECORDS) // PER_BATCH)


def refused(emulator) -> int:
    """How many batches were sent in vain: refused at once, or failed in the queue."""
    creates = [call for call in emulator.calls() if call["operation"].endswith("batches.create")]
    failed = [batch for batch in emulator.bill()["batches"] if batch["status"] == "failed"]
    return sum(call["status"] == 429 for call in creates) + len(failed)


def test_a_queue_that_holds_three_of_twelve_shards_is_kept_full_and_met_full_once(bench, emulator, tmp_path):
    if bench.vendor == "openai":
        # Its measure are the prompts' tokens; ours is the bytes, on the safe side: so two fit by our count.
        limit = 3 * tokens_of_a_shard(bench, emulator, tmp_path / "measured")
        emulator.set_options(enqueued_tokens={"*": limit})
    else:
        emulator.set_options(queued_requests=3 * PER_BATCH)

    most = run(bench, emulator, tmp_path)

    assert most == (3 if bench.vendor == "anthropic" else 12)  # at OpenAI all are taken at first, and nine fail
    assert emulator.bill()["total"]["requests_billed"] == len(RECORDS)
    assert refused(emulator) <= (1 if bench.vendor == "anthropic" else 9)


def test_a_limit_that_the_task_names_is_never_exceeded(bench, emulator, tmp_path):
    limit = 3 * tokens_of_a_shard(bench, emulator, tmp_path / "measured")
    emulator.set_options(enqueued_tokens={"*": limit}, queued_requests=3 * PER_BATCH)

    most = run(bench, emulator, tmp_path, max_enqueued_tokens=limit)

    assert 1 <= most <= 3
    assert refused(emulator) == 0
    assert emulator.bill()["total"]["requests_billed"] == len(RECORDS)


def test_a_shard_is_never_larger_than_the_limit_that_the_task_names(bench, emulator, tmp_path):
    small = tokens_of_a_shard(bench, emulator, tmp_path / "measured") // 2
    emulator.set_options(enqueued_tokens={"*": small})

    most = run(bench, emulator, tmp_path, max_enqueued_tokens=small)

    assert most == 1
    assert refused(emulator) == 0


def test_a_429_that_is_not_about_the_queue_does_not_make_the_job_go_one_by_one(bench, emulator, tmp_path):
    emulator.fault("*.batches.create", status=429, skip=1, times=1)

    assert run(bench, emulator, tmp_path) >= len(RECORDS) // PER_BATCH - 1


@pytest.mark.parametrize("bench", ["openai"], indirect=True)
def test_a_queue_that_others_share_is_tried_again_when_one_of_ours_has_ended(bench, emulator, tmp_path):
    emulator.set_options(enqueued_tokens={"*": 10**9})  # far from full, by what is ours
    emulator.fault("openai.batches.create", fail="token_limit_exceeded", skip=3, times=9)
    bench.job(tmp_path, RECORDS, prompt="Echo {{ record.text }}")
    first = advance(bench.job(tmp_path, RECORDS, prompt="Echo {{ record.text }}"))
    assert len(first.batch_ids) == 12
    emulator.advance(1_000)  # the nine have failed, and three are at work

    second = advance(bench.job(tmp_path, RECORDS, prompt="Echo {{ record.text }}"))

    assert len(second.batch_ids) == 3
    assert (second.until, second.wake_at) == ("any", None)
    run(bench, emulator, tmp_path)
    assert refused(emulator) == 9


@pytest.mark.parametrize("bench", ["openai"], indirect=True)
def test_a_queue_that_others_fill_is_tried_again_after_a_pause(bench, emulator, tmp_path):
    emulator.fault("openai.batches.create", fail="token_limit_exceeded", times=13)

    run(bench, emulator, tmp_path)

    assert refused(emulator) == 13
    assert emulator.bill()["total"]["requests_billed"] == len(RECORDS)
