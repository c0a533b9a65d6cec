"""Twelve shards, and a queue that holds three: no task fails, and next to nothing is sent in vain."""

from __future__ import annotations

import json
import math

import pytest

from airflow_provider_llmbatch.engine import Done, advance, start
from tests.bench import served

RECORDS = [{"n": number, "text": f"text number {number:02} " + "of some length, " * 30} for number in range(60)]
PER_BATCH = 5
SHARDS = len(RECORDS) // PER_BATCH
BATCH_SECONDS = 600
ADMIN_KEYS = {"openai": "sk-admin-0123456789", "anthropic": "sk-ant-admin-0123456789"}
ADMIN = {"openai": "openai.admin.rate_limits.list", "anthropic": "anthropic.admin.rate_limits.list"}


@pytest.fixture(params=["anthropic", "openai"])
def bench(request, emulator, monkeypatch):
    """A vendor whose time only passes while the job waits."""
    emulator.set_options(speed=0, batch_seconds=BATCH_SECONDS)
    found = served(request.param, emulator, monkeypatch)
    found.connect(max_requests=PER_BATCH)
    return found


openai_only = pytest.mark.parametrize("bench", ["openai"], indirect=True)


def make(bench, folder, records=RECORDS, **terms):
    return bench.job(folder, records, prompt="Echo {{ record.text }}", terms=terms)


def run(bench, emulator, folder, records=RECORDS, **terms):
    """Run the job to its end; return how many batches were at the vendor after each step."""
    seen = []
    for _ in range(100):
        outcome = advance(make(bench, folder, records, **terms))
        if isinstance(outcome, Done):
            rows = [json.loads(line) for line in (folder / "out.jsonl").read_bytes().splitlines()]
            assert [row["n"] for row in rows] == [record["n"] for record in records]
            assert {row["llm_status"] for row in rows} == {"succeeded"}
            assert emulator.bill()["total"]["requests_billed"] == len(records)
            return seen
        seen.append(len(outcome.batch_ids))
        assert outcome.batch_ids or outcome.wake_at  # there is something to wait for
        pause = BATCH_SECONDS if outcome.wake_at is None else max(0.0, outcome.wake_at - bench.clock())
        bench.clock.ahead += pause + 1
        emulator.advance(pause + 1)
    raise AssertionError("the job does not end")


def tokens_of(bench, emulator, folder, records=RECORDS[:PER_BATCH]) -> int:
    """Return what the vendor counts for *records*, by asking them."""
    run(bench, emulator, folder, records)
    total = emulator.bill()["total"]["tokens"]["input"]
    emulator.reset()
    return total


def hold(bench, emulator, folder, shards) -> int:
    """Let the vendor's queue hold so many shards, and return that in its measure."""
    tokens = math.ceil(shards * tokens_of(bench, emulator, folder / "measured"))
    emulator.set_options(enqueued_tokens={"*": tokens}, queued_requests=math.ceil(shards * PER_BATCH))
    return tokens


def refused(emulator) -> int:
    """How many batches were sent in vain: refused at once, or failed in the queue."""
    creates = [call for call in emulator.calls() if call["operation"].endswith("batches.create")]
    failed = [batch for batch in emulator.bill()["batches"] if batch["status"] == "failed"]
    return sum(call["status"] == 429 for call in creates) + len(failed)


# -- a queue whose size is known ---------------------------------------------------------------------------------


def test_a_limit_that_the_task_names_is_never_exceeded(bench, emulator, tmp_path):
    limit = hold(bench, emulator, tmp_path, 3)

    seen = run(bench, emulator, tmp_path, max_enqueued_tokens=limit)

    assert 1 <= max(seen) <= 3
    assert refused(emulator) == 0


def test_a_limit_that_an_admin_can_read_is_never_exceeded(bench, emulator, tmp_path):
    hold(bench, emulator, tmp_path, 3)
    bench.connect(max_requests=PER_BATCH, admin_key=ADMIN_KEYS[bench.vendor], project="proj_1")

    seen = run(bench, emulator, tmp_path)

    assert (
        max(seen) == {"anthropic": 3, "openai": 1}[bench.vendor]
    )  # OpenAI counts tokens; we guess them on the safe side
    assert refused(emulator) == 0
    assert emulator.counts()[ADMIN[bench.vendor]] == 1


def test_a_shard_is_never_larger_than_the_limit_that_the_task_names(bench, emulator, tmp_path):
    small = hold(bench, emulator, tmp_path, 0.5)

    seen = run(bench, emulator, tmp_path, RECORDS[:10], max_enqueued_tokens=small)

    assert set(seen) == {1}
    assert refused(emulator) == 0


def test_an_admins_limit_is_not_asked_for_where_the_task_names_one(bench, emulator, tmp_path):
    bench.connect(admin_key=ADMIN_KEYS[bench.vendor], project="proj_1")

    run(bench, emulator, tmp_path, RECORDS[:5], max_enqueued_tokens=1_000_000)

    assert ADMIN[bench.vendor] not in emulator.counts()


@pytest.mark.parametrize(
    "fault", [{"status": 404}, {"status": 500}, {"cut": 10}, {"garble": True}, {"reset_before": True}], ids=str
)
def test_a_limit_that_cannot_be_read_is_a_warning_and_no_failure(bench, emulator, tmp_path, caplog, fault):
    bench.connect(admin_key=ADMIN_KEYS[bench.vendor], project="proj_1", client_kwargs={"max_retries": 0})
    emulator.fault("*.admin.rate_limits.list", **fault)

    run(bench, emulator, tmp_path, RECORDS[:5])

    assert caplog.text.count("could not be read, so it is found out by trying") == 1
    assert ADMIN_KEYS[bench.vendor] not in caplog.text


@openai_only
def test_an_admin_key_without_a_project_is_a_warning(bench, emulator, tmp_path, caplog):
    bench.connect(admin_key=ADMIN_KEYS["openai"])

    run(bench, emulator, tmp_path, RECORDS[:5])

    assert caplog.text.count("names no project in its extra") == 1


# -- a queue whose size is found out -----------------------------------------------------------------------------


def test_a_queue_that_holds_three_of_twelve_shards_refuses_one(bench, emulator, tmp_path):
    hold(bench, emulator, tmp_path, 3)

    seen = run(bench, emulator, tmp_path)

    assert refused(emulator) == 1
    assert max(seen) == {"anthropic": 3, "openai": 4}[bench.vendor]  # OpenAI says no when it has looked at the fourth


@openai_only
def test_a_queue_that_holds_one_shard_refuses_three(bench, emulator, tmp_path):
    hold(bench, emulator, tmp_path, 1)

    run(bench, emulator, tmp_path)

    assert refused(emulator) == 3


@openai_only
def test_a_queue_of_unknown_size_gets_as_many_more_as_it_has_taken(bench, emulator, tmp_path):
    seen = run(bench, emulator, tmp_path)

    assert seen == [4, 8, 12]
    assert refused(emulator) == 0


@pytest.mark.parametrize(("bench", "first"), [("openai", 4), ("anthropic", 12)], indirect=["bench"])
def test_a_vendor_that_refuses_at_once_gets_all_at_once(bench, tmp_path, first):
    waiting = advance(make(bench, tmp_path))

    assert len(waiting.batch_ids) == first
    assert (waiting.wake_at is None) == (first == SHARDS)


@openai_only
def test_a_job_that_nobody_waits_for_is_sent_at_once(bench, emulator, tmp_path):
    start(make(bench, tmp_path))

    assert emulator.counts()["openai.batches.create"] == SHARDS


def test_a_429_that_is_not_about_the_queue_does_not_make_the_job_go_one_by_one(bench, emulator, tmp_path):
    emulator.fault("*.batches.create", status=429, skip=1, times=1)

    assert max(run(bench, emulator, tmp_path)) == SHARDS


# -- a queue that others fill ------------------------------------------------------------------------------------


@openai_only
def test_a_queue_that_others_share_is_tried_again_when_one_of_ours_has_ended(bench, emulator, tmp_path):
    emulator.set_options(enqueued_tokens={"*": 10**9})  # far from full, by what is ours
    emulator.fault("openai.batches.create", fail="token_limit_exceeded", skip=3, times=1)
    first = advance(make(bench, tmp_path))
    assert len(first.batch_ids) == 4
    emulator.advance(BATCH_SECONDS / 10 + 1)  # the fourth has failed, and three are at work

    second = advance(make(bench, tmp_path))

    assert len(second.batch_ids) == 3
    assert (second.until, second.wake_at) == ("any", None)
    assert max(run(bench, emulator, tmp_path)) == 3
    assert refused(emulator) == 1


@openai_only
def test_a_queue_that_others_fill_is_tried_again_after_longer_and_longer_pauses(bench, emulator, tmp_path):
    emulator.fault("openai.batches.create", fail="token_limit_exceeded", times=3)
    pauses = []
    for _ in range(3):
        advance(make(bench, tmp_path, RECORDS[:5]))
        emulator.advance(BATCH_SECONDS / 10 + 1)
        waiting = advance(make(bench, tmp_path, RECORDS[:5]))
        assert waiting.batch_ids == []
        pauses.append(round(waiting.wake_at - bench.clock(), -1))
        bench.clock.ahead += waiting.wake_at - bench.clock() + 1

    assert pauses == [60, 120, 240]
    assert run(bench, emulator, tmp_path, RECORDS[:5]) == [1]
