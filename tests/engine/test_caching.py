"""What a prompt cache saves, by the vendor's bill and by hand; and a batch of one that fills it first."""

from __future__ import annotations

import json
import logging
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_llmbatch.core.cost import price_book
from airflow_provider_llmbatch.engine import advance, start
from airflow_provider_llmbatch.engine.begin import resume
from airflow_provider_llmbatch.engine.prepare import WARM_FROM
from airflow_provider_llmbatch.hooks.base import BatchHook
from tests.bench import Bench, served
from tests.engine.crash import Crash, install

SHARED = "The handbook knows what to do about every fault. " * 180
"""8,820 bytes: 2,205 tokens, as the emulator counts."""
SHARED_TOKENS = 2_205
RECORDS = 300


def records(tokens: int, count: int = RECORDS) -> list[dict[str, str]]:
    """Return records with a text of *tokens* tokens each."""
    return [{"text": f"fault {number:05} ".ljust(4 * tokens, "x")} for number in range(count)]


@pytest.fixture(params=["anthropic", "openai"])
def bench(request, emulator, monkeypatch) -> Bench:
    """A vendor whose time stands still until a batch is to end; then ten minutes pass."""
    emulator.set_options(cache=True, batch_seconds=600, speed=0)
    return replace(served(request.param, emulator, monkeypatch), finish=lambda: emulator.advance(600))


def run(bench: Bench, folder: Path, source: Any, **question: Any) -> dict[str, Any]:
    asked = {"system": SHARED, "prompt": "Echo {{ record.text }}", **question}
    return bench.complete(lambda: bench.job(folder, source, **asked))


def rows(folder: Path) -> list[tuple[Any, ...]]:
    table = [json.loads(line) for line in (folder / "out.jsonl").read_bytes().splitlines()]
    return [(row["llm_index"], row["text"], row["llm_status"], row["llm_output"]) for row in table]


def billed(emulator, bench: Bench) -> Decimal:
    """Return the batch price of what the vendor's bill says, by hand."""
    rates = book_of(bench).batch
    tokens = emulator.bill()["by_vendor"][bench.vendor]["tokens"]
    fresh = tokens["input"] - tokens["cached"] - tokens["write_5m"] - tokens["write_1h"]
    return (
        fresh * rates.input.base
        + tokens["cached"] * rates.cache_read.base
        + tokens["write_5m"] * rates.cache_write_5m.base
        + tokens["write_1h"] * rates.cache_write_1h.base
        + tokens["output"] * rates.output.base
    ) / 1_000_000


def book_of(bench: Bench):
    return price_book(bench.vendor, bench.model, datetime.now(UTC))


# -- money -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bench", ["anthropic"], indirect=True)
@pytest.mark.parametrize(
    ("tokens", "least", "most"), [(1_800, "0.70", "0.75"), (40, "0.87", "0.92")], ids=["long-texts", "short-texts"]
)
def test_a_cache_and_a_batch_together_save_what_the_arithmetic_says(bench, emulator, tmp_path, tokens, least, most):
    source = records(tokens)
    uncached = run(bench, tmp_path / "plain", source)
    emulator.reset()
    cached = run(bench, tmp_path / "cached", source, cache="system_and_tools")
    assert Decimal(cached["cost_usd"]) == billed(emulator, bench)
    emulator.reset()
    warmed = run(bench, tmp_path / "warmed", source, cache="system_and_tools", warm_cache=True)

    usage, rates = uncached["usage"], book_of(bench).batch
    shared = RECORDS * SHARED_TOKENS
    by_hand = (
        (usage["input_tokens"] - shared) * rates.input.base
        + SHARED_TOKENS * rates.cache_write_1h.base  # the first one writes
        + (shared - SHARED_TOKENS) * rates.cache_read.base  # and all others read
        + usage["output_tokens"] * rates.output.base
    ) / 1_000_000
    synchronous = Decimal(uncached["sync_cost_usd"])
    costs = {
        "synchronous, no cache": synchronous,
        "batch, no cache": Decimal(uncached["cost_usd"]),
        "batch and cache": Decimal(cached["cost_usd"]),
        "batch and warm cache": Decimal(warmed["cost_usd"]),
    }
    print(f"\n  {RECORDS} records with {tokens} tokens each and {SHARED_TOKENS:,} in common ({bench.model}):")
    for name, cost in costs.items():
        print(f"  {name:<22} {cost:.6f} USD  {1 - cost / synchronous:6.1%} saved")
    assert costs["batch, no cache"] * 2 == synchronous
    assert costs["batch and cache"] == costs["batch and warm cache"] == by_hand
    assert Decimal(least) < 1 - by_hand / synchronous < Decimal(most)
    assert Decimal(cached["cache_saved_usd"]) == Decimal(uncached["cost_usd"]) - by_hand
    assert cached["cache_hit_ratio"] == round((shared - SHARED_TOKENS) / usage["input_tokens"], 4)
    assert cached["usage"]["cache_write_tokens"] == SHARED_TOKENS
    assert (uncached["cache_hit_ratio"], uncached["cache_saved_usd"]) == (0.0, "0")
    assert rows(tmp_path / "plain") == rows(tmp_path / "cached") == rows(tmp_path / "warmed")


@pytest.mark.parametrize("bench", ["anthropic"], indirect=True)
def test_marks_on_what_differs_cost_more_than_none(bench, emulator, tmp_path):
    """Why ``automatic`` is not the vendor's own automatic mode: that marks the last block, which differs."""
    source = records(40)
    plain = run(bench, tmp_path / "plain", source)
    ours = run(bench, tmp_path / "ours", source, cache="automatic")
    theirs = run(bench, tmp_path / "theirs", source, params={"cache_control": {"type": "ephemeral", "ttl": "1h"}})

    assert Decimal(ours["cost_usd"]) < Decimal(plain["cost_usd"]) < Decimal(theirs["cost_usd"])
    assert theirs["cache_hit_ratio"] == 0
    assert Decimal(theirs["cache_saved_usd"]) == Decimal(plain["cost_usd"]) - Decimal(theirs["cost_usd"]) < 0


@pytest.mark.parametrize("bench", ["openai"], indirect=True)
def test_what_openai_caches_by_itself_is_counted_and_priced(bench, emulator, tmp_path):
    summary = run(bench, tmp_path, records(40), cache="system_and_tools", params={"prompt_cache_key": "handbook"})

    tokens = emulator.bill()["by_vendor"]["openai"]["tokens"]
    plain = summary["usage"]["input_tokens"] * book_of(bench).batch.input.base
    plain += summary["usage"]["output_tokens"] * book_of(bench).batch.output.base
    assert Decimal(summary["cost_usd"]) == billed(emulator, bench)
    assert summary["cache_hit_ratio"] == round(tokens["cached"] / tokens["input"], 4) > 0.9
    assert Decimal(summary["cache_saved_usd"]) == plain / 1_000_000 - billed(emulator, bench)


@pytest.mark.parametrize("bench", ["anthropic"], indirect=True)
def test_a_later_round_reads_what_the_first_one_wrote(bench, emulator, tmp_path):
    emulator.fault("*.batches.create", row="missing", count=20, times=1)

    summary = run(bench, tmp_path, records(40), cache="automatic")

    assert summary["rounds"] == 2
    assert emulator.bill()["total"]["tokens"]["write_1h"] == SHARED_TOKENS
    assert {row[2] for row in rows(tmp_path)} == {"succeeded"}


# -- the batch of one ------------------------------------------------------------------------------------------------


def sizes(emulator) -> list[int]:
    """Return how many requests each batch had, in the order in which they were sent."""
    batches = sorted(emulator.bill()["batches"], key=lambda batch: batch["created_at"])
    return [batch["requests"] for batch in batches]


def test_the_first_request_goes_ahead_and_the_others_wait_for_its_result(bench, emulator, tmp_path):
    bench.connect(max_requests=120)
    asked = {"system": SHARED, "prompt": "Echo {{ record.text }}", "warm_cache": True}

    def job():
        return bench.job(tmp_path, records(10), **asked)

    first = advance(job())
    again = advance(job())
    assert (len(first.batch_ids), len(sizes(emulator))) == (1, 1)
    assert again == first
    bench.finish()
    rest = advance(job())
    assert (len(rest.batch_ids), len(sizes(emulator))) == (3, 4)

    summary = bench.complete(job)

    assert sizes(emulator) == [1, 120, 120, 59]  # only now: OpenAI counts a batch once it has checked it
    assert summary["rounds"] == 1
    assert emulator.bill()["total"]["requests_billed"] == RECORDS
    assert [row[0] for row in rows(tmp_path)] == list(range(RECORDS))


@pytest.mark.parametrize("row", ["missing", "refusal"])
def test_a_first_request_that_fails_does_not_hold_up_the_others(bench, emulator, tmp_path, row):
    emulator.fault("*.batches.create", row=row, index=[0], times=1)

    summary = run(bench, tmp_path, records(10), warm_cache=True)

    assert sizes(emulator)[:2] == [1, RECORDS - 1]
    assert summary["counts"]["succeeded"] == RECORDS - (row == "refusal")


@pytest.mark.parametrize(
    ("source", "warm_cache", "batches"),
    [
        pytest.param(records(10, WARM_FROM - 1), True, [WARM_FROM - 1], id="few"),
        pytest.param(records(10, WARM_FROM), True, [1, WARM_FROM - 1], id="enough"),
        pytest.param(records(10, WARM_FROM), False, [WARM_FROM], id="not-asked-for"),
        pytest.param(records(10, WARM_FROM - 1) * 2, True, [WARM_FROM - 1], id="few-that-differ"),
        pytest.param(records(10, WARM_FROM) * 2, True, [1, WARM_FROM - 1], id="enough-that-differ"),
    ],
)
def test_a_few_requests_do_not_wait(bench, emulator, tmp_path, source, warm_cache, batches):
    summary = run(bench, tmp_path, source, warm_cache=warm_cache)

    assert sizes(emulator) == batches
    assert summary["counts"]["succeeded"] == len(source)


def test_a_task_that_does_not_wait_sends_the_first_and_another_process_the_others(bench, emulator, tmp_path):
    job = bench.job(tmp_path, records(10), prompt="Echo {{ record.text }}", warm_cache=True)
    start(job)
    assert sizes(emulator) == [1]

    terms, uri = job.terms, job.folder.uri
    summary = bench.complete(lambda: resume(uri, terms, clock=bench.clock, sleep=bench.clock.sleep))

    assert sizes(emulator) == [1, RECORDS - 1]
    assert summary["counts"]["succeeded"] == RECORDS


@pytest.mark.slow
def test_a_crash_anywhere_pays_for_the_first_request_once(bench, emulator, monkeypatch, tmp_path):
    monkeypatch.setattr(BatchHook, "clock_slack", 1e6)  # the tests' clock runs ahead of the emulator's
    counter = install(monkeypatch)
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps(record) + "\n" for record in records(3, WARM_FROM)))

    def complete(folder: Path) -> Counter[tuple[int, str]]:
        asked = {"prompt": "Echo {{ record.text }}", "warm_cache": True}
        bench.complete(lambda: bench.job(folder, str(source), **asked), steps=30)
        return Counter((batch["requests"], batch["sha256"]) for batch in emulator.bill()["batches"])

    counter.arm(None)
    paid, points = complete(tmp_path / "undisturbed"), list(counter.passed)
    assert sorted(size for size, _ in paid.elements()) == [1, WARM_FROM - 1]
    for at, name in enumerate(points):
        emulator.reset()
        counter.arm(at)
        with pytest.raises(Crash):
            complete(tmp_path / str(at))
        counter.arm(None)

        assert complete(tmp_path / str(at)) == paid, f"crash at {at}, after {name}: another bill"
        assert rows(tmp_path / str(at)) == rows(tmp_path / "undisturbed")
    print(f"\n{len(points)} crashes ({bench.vendor}): the first request was paid for once each time")


@pytest.mark.parametrize(
    ("change", "is_another"),
    [({"cache": "automatic"}, True), ({"cache_ttl": "5m"}, True), ({"warm_cache": True}, False), ({}, False)],
)
def test_other_marks_are_another_question_and_another_order_is_not(bench, tmp_path, change, is_another):
    asked = {"prompt": "Echo {{ record.text }}", "cache": "tools_only"}
    before = bench.job(tmp_path, records(10), **asked).spec.job_id

    assert (bench.job(tmp_path, records(10), **asked | change).spec.job_id != before) is is_another


# -- what is told ----------------------------------------------------------------------------------------------------


LEAST = "claude-haiku-5-5 caches no fewer than 512"
NOTHING = (
    "WARNING cache=%r will cache nothing of the request of record 0: %s. The answers are the same without a cache."
)


@pytest.mark.parametrize(
    ("vendor", "question", "told"),
    [
        ("anthropic", {"cache": "automatic"}, []),
        ("anthropic", {"system": "Be brief."}, []),
        ("openai", {"system": "Be brief."}, []),
        ("anthropic", {"cache": "tools_only"}, [NOTHING % ("tools_only", "it has no part to mark")]),
        (
            "anthropic",
            {"cache": "automatic", "system": "Be brief."},
            [
                NOTHING % ("automatic", f"up to its last mark it has about 21 tokens (bytes / 4), and {LEAST}"),
            ],
        ),
        (
            "openai",
            {"cache": "automatic"},
            ["INFO cache='automatic' marks nothing: the prompt cache of openai needs no marks."],
        ),
    ],
)
def test_a_cache_that_does_nothing_is_told_once(emulator, monkeypatch, tmp_path, caplog, vendor, question, told):
    bench = served(vendor, emulator, monkeypatch)
    caplog.set_level(logging.INFO)

    run(bench, tmp_path, records(10, 1_500), **question)

    lines = [f"{record.levelname} {record.getMessage()}" for record in caplog.records]
    assert [line for line in lines if " cache=" in line] == told
