"""The plan for a billion records, computed: the page shows what these formulas give, with today's limits and prices."""

from datetime import UTC, datetime
from math import ceil
from pathlib import Path

import pytest

from airflow_provider_llmbatch.core.cost import price_book
from airflow_provider_llmbatch.core.results import Usage
from airflow_provider_llmbatch.vendors import hook_class

PAGE = Path(__file__).parents[2] / "docs/how-to/beyond-one-machine.md"
RECORDS, FILES = 10**9, 1_000
INPUT, OUTPUT = 250, 20
RECORD, REQUEST, RESULT, ROW = 400, 1_000, 1_000, 700
MODELS = {"openai": "gpt-6-luna", "anthropic": "claude-haiku-5-5"}
CALLS = {"openai": (2, 2, 2), "anthropic": (1, 1, 0)}
"""Calls per batch to send it, to fetch it, and to delete what the vendor keeps of it."""
LISTED = {"openai": 100, "anthropic": 1_000}
QUEUES = [
    ("openai", "200 million tokens", 200 * 10**6),
    ("openai", "2 billion tokens", 2 * 10**9),
    ("openai", "20 billion tokens", 20 * 10**9),
    ("anthropic", "200,000 requests", 200_000),
    ("anthropic", "300,000 requests", 300_000),
    ("anthropic", "500,000 requests", 500_000),
]


def batch_of(vendor: str) -> int:
    """Return how many requests one batch holds."""
    limits = hook_class(vendor).LIMITS
    return min(limits.max_requests, (limits.max_bytes - limits.envelope_bytes) // REQUEST)


def plan(vendor: str) -> dict[str, str]:
    """Return what all of it takes at *vendor*."""
    size = batch_of(vendor)
    batches, of_file = ceil(RECORDS / size), ceil(RECORDS / FILES / size)
    send, fetch, delete = (calls * batches for calls in CALLS[vendor])
    book = price_book(vendor, MODELS[vendor], datetime(2026, 11, 22, tzinfo=UTC))
    prices = [rates.price(Usage(input=INPUT, output=OUTPUT)) * RECORDS for rates in (book.batch, book.standard)]
    xcom = FILES * (800 + 45 * of_file + 1_000)
    return {
        "requests in a batch": f"{size:,}",
        "batches of a file": f"{of_file:,}",
        "batches": f"{batches:,}",
        "calls to send": f"{send:,}",
        "calls to fetch": f"{fetch:,}",
        "calls to delete": f"{delete:,}",
        "over the network to and from the vendor": f"{RECORDS * (REQUEST + RESULT) / 1e12:.1f} TB",
        "job folders and outputs": f"{RECORDS * (RECORD + REQUEST + RESULT + ROW) / 1e12:.1f} TB",
        "XCom": f"{xcom / 1e6:.1f} MB",
        "price": f"{prices[0]:,.0f} USD",
        "price without batches": f"{prices[1]:,.0f} USD",
    }


def queue(vendor: str, name: str, limit: int) -> list[str]:
    """Return how long it takes with a queue of *limit* tokens (OpenAI) or requests (Anthropic)."""
    size = batch_of(vendor)
    at_once = limit // (size * INPUT if vendor == "openai" else size)
    waves = ceil(ceil(RECORDS / size) / at_once)
    slots = max(1, at_once // ceil(RECORDS / FILES / size))
    looks = waves * 60 * ceil(at_once / LISTED[vendor])
    return [name, *(f"{n:,}" for n in (at_once, slots, waves)), f"{waves / 24:,.1f}", f"{waves:,}", f"{looks:,}"]


def line(cells) -> str:
    return f"| {' | '.join(cells)} |"


@pytest.mark.parametrize("row", plan("openai"))
def test_the_page_shows_what_it_takes(row):
    shown = [line([row, plan("openai")[row], plan("anthropic")[row]])]

    assert [text for text in PAGE.read_text(encoding="utf-8").splitlines() if text.startswith(f"| {row} |")] == shown


@pytest.mark.parametrize("given", QUEUES, ids=lambda given: given[1])
def test_the_page_shows_how_long_it_takes(given):
    found = [text for text in PAGE.read_text(encoding="utf-8").splitlines() if text.startswith(f"| {given[1]} |")]

    assert found == [line(queue(*given))]
