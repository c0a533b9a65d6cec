"""What a job cost, down to the last decimal: the vendors' prices, the tokens of their answers, and arithmetic.

Nothing on the right-hand side comes from our code. Each record is a batch of its own, and one runs after the other, so
that it is certain which of them writes to the vendor's cache and which reads from it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal as D
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.bench import Bench, served

MILLION = 1_000_000
ANSWER, THOUGHTS = 54, 300
"""Tokens of the emulator's answer to a prompt of 200 characters and more, and of the thoughts before it."""


class Prices(NamedTuple):
    """US dollars per million tokens, in a batch."""

    fresh: D
    read: D
    write_5m: D
    write_1h: D
    out: D


# https://platform.claude.com/docs/en/about-claude/pricing on 2026-11-22 (FACTS §2.8, §5.1): Haiku 5.5 is 0.10 in and
# 0.50 out up to 100,000 tokens of input, and 0.50 and 2.50 above; half of that in a batch; a cache is read for a tenth
# of the input price, and written for 1.25 times (5 minutes) or twice (an hour) of it.
HAIKU = Prices(D("0.05"), D("0.005"), D("0.0625"), D("0.10"), D("0.25"))
HAIKU_LONG = Prices(D("0.25"), D("0.025"), D("0.3125"), D("0.50"), D("1.25"))
# https://developers.openai.com/api/docs/models/gpt-6-luna on 2026-11-22 (FACTS §1.9, §5.1): 0.05 in, 0.005 cached and
# 0.25 out in a batch; writing to the cache is 1.25 times the input price; above 272,000 tokens of input, input and
# cache are twice and output is one and a half times as much.
LUNA = Prices(D("0.05"), D("0.005"), D("0.0625"), D("0.0625"), D("0.25"))
LUNA_LONG = Prices(D("0.10"), D("0.010"), D("0.125"), D("0.125"), D("0.375"))


def text(name: str, tokens: int) -> str:
    """Return a text of that many tokens, as the emulator counts them: four bytes each."""
    return f"{name}: ".ljust(4 * tokens, name[0])


def ask(*blocks: Any, **more: Any) -> dict[str, Any]:
    """Return a record that brings its own messages, with marks for Anthropic's cache where it wants them."""
    content = [
        {"type": "text", "text": text(name, tokens)}
        | ({"cache_control": {"type": "ephemeral", "ttl": ttl}} if ttl else {})
        for name, tokens, ttl in blocks
    ]
    return {"messages": [{"role": "user", "content": content}], **more}


class Case(NamedTuple):
    """One record, and a million times what it costs."""

    what: str
    record: dict[str, Any]
    cost: D


THINK = {"request_params": {"thinking": {"type": "adaptive"}}}
ANTHROPIC = [
    Case("plain", ask(("plain", 100, "")), 100 * HAIKU.fresh + ANSWER * HAIKU.out),
    Case(
        "thinks",
        ask(("thinks", 100, ""), **THINK),
        100 * HAIKU.fresh + (ANSWER + THOUGHTS) * HAIKU.out,
    ),
    Case(
        "writes for 5 minutes",
        ask(("minutes", 5_000, "5m"), ("a", 100, "")),
        100 * HAIKU.fresh + 5_000 * HAIKU.write_5m + ANSWER * HAIKU.out,
    ),
    Case(
        "reads what was written for 5 minutes",
        ask(("minutes", 5_000, "5m"), ("b", 100, "")),
        100 * HAIKU.fresh + 5_000 * HAIKU.read + ANSWER * HAIKU.out,
    ),
    Case(
        "writes for an hour",
        ask(("hours", 6_000, "1h"), ("c", 100, "")),
        100 * HAIKU.fresh + 6_000 * HAIKU.write_1h + ANSWER * HAIKU.out,
    ),
    Case(
        "reads that and writes more for 5 minutes",
        ask(("hours", 6_000, "1h"), ("more", 2_000, "5m"), ("d", 100, "")),
        100 * HAIKU.fresh + 6_000 * HAIKU.read + 2_000 * HAIKU.write_5m + ANSWER * HAIKU.out,
    ),
    Case(
        "writes both",
        ask(("Hours", 4_000, "1h"), ("More", 2_000, "5m"), ("e", 100, "")),
        100 * HAIKU.fresh + 2_000 * HAIKU.write_5m + 4_000 * HAIKU.write_1h + ANSWER * HAIKU.out,
    ),
    Case("100,000 tokens", ask(("long", 100_000, "")), 100_000 * HAIKU.fresh + ANSWER * HAIKU.out),
    Case("one more", ask(("long", 100_001, "")), 100_001 * HAIKU_LONG.fresh + ANSWER * HAIKU_LONG.out),
    Case(
        "long, and writes both",
        ask(("x", 80_000, "1h"), ("y", 30_000, "5m"), ("f", 100, "")),
        100 * HAIKU_LONG.fresh + 30_000 * HAIKU_LONG.write_5m + 80_000 * HAIKU_LONG.write_1h + ANSWER * HAIKU_LONG.out,
    ),
    Case(
        "long for what it reads, and thinks",
        ask(("x", 80_000, "1h"), ("y", 30_000, "5m"), ("g", 100, ""), **THINK),
        100 * HAIKU_LONG.fresh + 110_000 * HAIKU_LONG.read + (ANSWER + THOUGHTS) * HAIKU_LONG.out,
    ),
]
OPENAI = [  # every answer thinks; what is cached goes in steps of 128 tokens, from 1,024 on
    Case("plain", {"prompt": text("plain", 100)}, 100 * LUNA.fresh + (ANSWER + THOUGHTS) * LUNA.out),
    Case(
        "writes",
        {"prompt": text("shared", 4_000)},
        32 * LUNA.fresh + 3_968 * LUNA.write_5m + (ANSWER + THOUGHTS) * LUNA.out,
    ),
    Case("the same, word for word: not asked", {"prompt": text("shared", 4_000)}, D(0)),
    Case(
        "reads",
        {"prompt": text("shared", 4_050)},
        82 * LUNA.fresh + 3_968 * LUNA.read + (ANSWER + THOUGHTS) * LUNA.out,
    ),
    Case("272,000 tokens", {"prompt": text("long", 272_000)}, 272_000 * LUNA.write_5m + 354 * LUNA.out),
    Case(
        "one more",
        {"prompt": text("more", 272_001)},
        1 * LUNA_LONG.fresh + 272_000 * LUNA_LONG.write_5m + (ANSWER + THOUGHTS) * LUNA_LONG.out,
    ),
    Case(
        "long for what it reads",
        {"prompt": text("long", 272_100)},
        100 * LUNA_LONG.fresh + 272_000 * LUNA_LONG.read + (ANSWER + THOUGHTS) * LUNA_LONG.out,
    ),
]
CASES = {"anthropic": ANTHROPIC, "openai": OPENAI}
USAGE = {
    "anthropic": {
        "input_tokens": 450_901,
        "cached_input_tokens": 5_000 + 6_000 + 110_000,
        "cache_write_tokens": 5_000 + 6_000 + 2_000 + 6_000 + 110_000,
        "output_tokens": 11 * ANSWER + 2 * THOUGHTS,
        "reasoning_tokens": 2 * THOUGHTS,
    },
    "openai": {
        "input_tokens": 100 + 4_000 + 4_050 + 272_000 + 272_001 + 272_100,
        "cached_input_tokens": 3_968 + 272_000,
        "cache_write_tokens": 3_968 + 272_000 + 272_000,
        "output_tokens": 6 * (ANSWER + THOUGHTS),
        "reasoning_tokens": 6 * THOUGHTS,
    },
}


@pytest.fixture(params=["anthropic", "openai"])
def bench(request, emulator, monkeypatch) -> Bench:
    """A vendor that caches, and takes one request to a batch; ten seconds pass while a batch runs."""
    emulator.set_options(cache=True, batch_seconds=10, speed=0, reasoning_tokens=THOUGHTS)
    made = replace(served(request.param, emulator, monkeypatch), finish=lambda: emulator.advance(10))
    made.connect(max_requests=1)
    return made


def run(bench: Bench, folder: Path) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    """Return the task's summary, the one in the job's folder, and the rows."""
    records = [case.record for case in CASES[bench.vendor]]
    terms = {"max_active_batches": 1}
    summary = bench.complete(lambda: bench.job(folder, records, terms=terms, max_tokens=4_096), steps=40)
    kept = json.loads((folder / "job" / "summary.json").read_bytes())
    return summary, kept, [json.loads(line) for line in (folder / "out.jsonl").read_bytes().splitlines()]


def test_rows_batches_rounds_and_the_job_cost_what_they_cost_by_hand(bench, emulator, tmp_path):
    cases = CASES[bench.vendor]
    emulator.fault("*.batches.create", row="server_error", index=[0], once=True)  # asked again, in a second round

    summary, kept, rows = run(bench, tmp_path)

    costs = [case.cost / MILLION for case in cases]
    print()
    for case, row in zip(cases, rows, strict=True):
        print(f"  {bench.vendor:<9} {case.what:<40} {row['llm_cost_usd']:>12} USD")
    print(f"  {bench.vendor:<9} {'the job':<40} {summary['cost_usd']:>12} USD")
    assert [D(row["llm_cost_usd"]) for row in rows] == costs
    asked = [cost for cost in costs if cost]
    assert [D(batch["cost_usd"]) for batch in kept["batches"]] == [D(0), *asked[1:], asked[0]]
    assert [D(round_["cost_usd"]) for round_ in kept["by_round"]] == [sum(asked[1:]), asked[0]]
    assert D(summary["cost_usd"]) == sum(costs)
    assert D(summary["sync_cost_usd"]) == 2 * sum(costs)
    assert (summary["discount"], summary["usage"]) == ("applied", USAGE[bench.vendor])


def test_the_time_of_each_step_of_each_batch_is_told(bench, tmp_path):
    _, kept, _ = run(bench, tmp_path)

    steps = ["submitted_at", "in_progress_at", "finalizing_at", "ended_at", "collected_at"]
    told = [[batch[step] for step in steps if batch[step]] for batch in kept["batches"]]
    assert {len(times) for times in told} == {5 if bench.vendor == "openai" else 4}  # Anthropic finalizes nothing
    assert all(batch["submitted_at"] <= batch["collected_at"] for batch in kept["batches"])
    assert all(times[1:-1] == sorted(times[1:-1]) for times in told)
    assert kept["submitted_at"] == min(batch["submitted_at"] for batch in kept["batches"])
    assert kept["completed_at"] == max(batch["ended_at"] for batch in kept["batches"])
