"""Ten thousand records, and everything that can go wrong with a row at once: one verdict each, and a bill that adds up.

The table that is printed says what became of whom, and in which round.
"""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_llmbatch.core.schemas import output_schema
from tests.bench import served

RECORDS, SHARD = 10_000, 2_500
SCHEMA = {
    "title": "Review",
    "type": "object",
    "properties": {"label": {"enum": ["good", "bad"]}},
    "required": ["label"],
    "additionalProperties": False,
}
CODES = {
    "openai": {
        "server_error": 500,
        "rate_limit_exceeded": 429,
        "vector_store_timeout": 400,
        "invalid_image_url": 400,
        "context_length_exceeded": 400,
        "invalid_value": 400,
        "invalid_prompt": 400,
        "data_residency_mismatch": 400,
    },
    "anthropic": {
        "api_error": 500,
        "overloaded_error": 529,
        "rate_limit_error": 429,
        "timeout_error": 504,
        "conflict_error": 409,
        "error_of_tomorrow": 500,
        "invalid_request_error": 400,
        "request_too_large": 413,
    },
}
HELPLESS = {"openai": 4, "anthropic": 2}
"""Of the eight codes, the last ones: the same question cannot succeed, and nobody changes it."""
PER_CODE, TRUNCATED, INVALID, MISSING, DUPLICATED = 63, 100, 200, 10, 5


@pytest.mark.slow
@pytest.mark.parametrize("vendor", ["openai", "anthropic"])
def test_whatever_goes_wrong_every_record_has_one_verdict_and_the_bill_is_what_was_asked(
    vendor, emulator, monkeypatch, tmp_path, capsys
):
    bench = served(vendor, emulator, monkeypatch)
    bench.connect(max_requests=SHARD)
    struck = strike(emulator, vendor)
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps({"n": n, "text": f"review {n}"}) + "\n" for n in range(RECORDS)))

    summary = bench.complete(
        lambda: bench.job(
            tmp_path, str(source), prompt="{{ record.text }}: good or bad?", output=output_schema(SCHEMA), max_tokens=64
        )
    )

    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    bill = emulator.bill()["total"]
    report(capsys, vendor, rows, bill, summary)
    assert [row["n"] for row in rows] == list(range(RECORDS))
    expired = [row for row in rows[:SHARD] if row["llm_round"] == 2]
    assert len(expired) == round(SHARD * 0.62)
    assert len({row["llm_custom_id"] for row in rows}) == RECORDS
    helpless = list(CODES[vendor])[-HELPLESS[vendor] :]
    for kind, indexes in struck.items():
        verdicts = Counter((rows[index]["llm_status"], rows[index]["llm_error_code"]) for index in indexes)
        rounds = {rows[index]["llm_round"] for index in indexes}
        if kind in helpless:
            assert (verdicts, rounds) == ({("errored", kind): len(indexes)}, {1}), kind
        else:
            assert (verdicts, rounds) == ({("succeeded", None): len(indexes)}, {1 if kind == "duplicated" else 2}), kind
    again = len(expired) + (len(CODES[vendor]) - len(helpless)) * PER_CODE + TRUNCATED + INVALID + MISSING
    assert bill["requests"] == RECORDS + again
    assert sum(row["llm_round"] == 2 for row in rows) == again
    assert bill["requests_billed"] == bill["requests"] - len(expired) - len(CODES[vendor]) * PER_CODE
    assert sum(row["llm_output_tokens"] for row in rows) == bill["tokens"]["output"] - lost_tokens(rows, summary, bill)
    assert sum(Decimal(row["llm_cost_usd"]) for row in rows) == Decimal(summary["cost_usd"])


def strike(emulator: Any, vendor: str) -> dict[str, list[int]]:
    """Switch everything on for the batches of round 1; return which records it strikes, none of them in shard 0."""
    indexes = iter(range(SHARD, RECORDS, 7))

    def take(count: int) -> list[int]:
        return [next(indexes) for _ in range(count)]

    struck: dict[str, list[int]] = {}
    for code, status in CODES[vendor].items():
        struck[code] = take(PER_CODE)
        emulator.fault("*.batches.create", row="error", code=code, status=status, index=struck[code], times=4)
    kinds = {"truncated": TRUNCATED, "invalid_json": INVALID, "missing": MISSING, "duplicated": DUPLICATED}
    for kind, count in kinds.items():
        struck[kind] = take(count)
        emulator.fault("*.batches.create", row=kind, index=struck[kind], times=4)
    emulator.fault("*.batches.create", expire=0.38, times=1)
    return struck


def lost_tokens(rows: list[dict[str, Any]], summary: dict[str, Any], bill: dict[str, Any]) -> int:
    """Return the tokens of the lines that the vendor billed and never delivered: nobody can see them but the bill."""
    seen = summary["usage"]["output_tokens"]
    assert seen == sum(row["llm_output_tokens"] for row in rows)
    lost = bill["tokens"]["output"] - seen
    assert 0 < lost < bill["tokens"]["output"] * 2 * MISSING / RECORDS
    return int(lost)


def report(capsys: Any, vendor: str, rows: list[Any], bill: dict[str, Any], summary: dict[str, Any]) -> None:
    found = Counter((row["llm_round"], row["llm_status"], row["llm_error_code"] or "") for row in rows)
    with capsys.disabled():
        print(f"\n  {vendor}: {len(rows):,} records, {bill['batches']} batches, {summary['cost_usd']} USD")
        print(f"  {'round':>7} {'verdict':<10} {'code':<28} {'rows':>7}")
        for (round_, status, code), count in sorted(found.items()):
            print(f"  {round_:>7} {status:<10} {code:<28} {count:>7,}")
        print(f"  requests asked {bill['requests']:,}, answered and billed {bill['requests_billed']:,}")
