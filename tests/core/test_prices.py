"""Prices of one's own: which entry counts, that figures are read as they are written, and what is refused."""

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from airflow_provider_llmbatch.core.cost import Rate, price_book
from airflow_provider_llmbatch.core.prices import book_for, read_prices
from airflow_provider_llmbatch.core.results import Usage

TODAY = datetime(2026, 11, 22, tzinfo=UTC)
TOML = """
[[prices]]
vendor = "openai"
model = "gpt-6-luna"
valid_from = 2026-11-01
standard = { input = 0.100001, cached_input = "0.01", output = 1 }
batch = 0.5

[[prices]]
vendor = "openai"
model = "house-model"
standard = { input = { base = 0.1, above = { 272000 = 0.2, 500000 = "0.3" } }, output = 1 }
batch = { input = 0.04, cached_input = 0.01, cache_write = 0.05, cache_write_1h = 0.08, output = 0.4 }
"""
JSON = """
{"prices": [
  {"vendor": "openai", "model": "gpt-6-luna", "valid_from": "2026-11-01", "batch": 0.5,
   "standard": {"input": 0.100001, "cached_input": "0.01", "output": 1}},
  {"vendor": "openai", "model": "house-model",
   "standard": {"input": {"base": 0.1, "above": {"272000": 0.2, "500000": "0.3"}}, "output": 1},
   "batch": {"input": 0.04, "cached_input": 0.01, "cache_write": 0.05, "cache_write_1h": 0.08, "output": 0.4}}
]}
"""


def toml(*entries: str) -> bytes:
    """Return a file of entries, each of which is for OpenAI unless it says otherwise."""
    own = [entry if "vendor" in entry else f'vendor = "openai"\n{entry}' for entry in entries]
    return "\n".join(f"[[prices]]\n{entry}" for entry in own).encode()


def book(document: bytes, model: str, day: datetime = TODAY, vendor: str = "openai"):
    return book_for(read_prices(document, as_json=False), vendor, model, day, "ours")


def test_toml_and_json_say_the_same():
    assert read_prices(TOML.encode(), as_json=False) == read_prices(JSON.encode(), as_json=True)
    assert read_prices(b"\xef\xbb\xbf" + TOML.encode(), as_json=False)  # as some editors write it


def test_a_figure_is_the_decimal_that_it_is_written_as():
    found = book(TOML.encode(), "gpt-6-luna")

    assert found.standard.input == Rate(Decimal("0.100001"))
    assert found.batch.input == Rate(Decimal("0.0500005"))
    assert (
        found.batch.price(Usage(input=7, cached_input=2, output=3))
        == (5 * Decimal("0.0500005") + 2 * Decimal("0.005") + 3 * Decimal("0.5")) / 1_000_000
    )


def test_a_batch_may_have_prices_of_its_own_and_a_price_may_have_tiers():
    found = book(TOML.encode(), "house-model")

    usage = Usage(input=20, cached_input=5, cache_write=7, cache_write_1h=3, output=2)
    millionths = (
        8 * Decimal("0.04") + 5 * Decimal("0.01") + 4 * Decimal("0.05") + 3 * Decimal("0.08") + 2 * Decimal("0.4")
    )
    assert found.batch.price(usage) == millionths / 1_000_000
    for size, price in [(272_000, "0.1"), (272_001, "0.2"), (500_000, "0.2"), (500_001, "0.3")]:
        assert found.standard.price(Usage(input=size)) == size * Decimal(price) / 1_000_000
    assert (found.discounted, found.source) == (True, "ours")


def test_what_is_cached_costs_what_input_costs_unless_it_says_otherwise():
    rates = book(toml('model = "m"\nstandard = { input = 3, cache_write = 4, output = 5 }\nbatch = 1'), "m").batch

    assert [rate.base for rate in (rates.cache_read, rates.cache_write_5m, rates.cache_write_1h)] == [3, 4, 4]


def test_a_factor_alone_is_taken_of_the_price_list_tiers_and_cache_included():
    listed = price_book("anthropic", "claude-haiku-5-5", TODAY)
    found = book(toml('vendor = "anthropic"\nmodel = "*"\nbatch = 0.45'), "claude-haiku-5-5", vendor="anthropic")

    for usage in (
        Usage(input=50_000, cached_input=9_000, cache_write=8_000, cache_write_1h=700, output=60),
        Usage(input=150_000, cached_input=9_000, cache_write=8_000, cache_write_1h=700, output=60),
    ):
        assert found.batch.price(usage) == listed.standard.price(usage) * Decimal("0.45")
    assert found.standard == listed.standard


@pytest.mark.parametrize(
    ("model", "day", "dollars"),
    [
        pytest.param("gpt-6-luna", "2026-11-22", 3, id="by-name"),
        pytest.param("gpt-6-luna", "2026-11-09", 2, id="the-day-before"),
        pytest.param("gpt-6-luna", "2026-11-10", 3, id="the-day-itself"),
        pytest.param("gpt-6-luna-2026-10-01", "2026-11-22", 3, id="a-snapshot"),
        pytest.param("gpt-6-sol-20261001", "2026-11-22", 5, id="a-snapshot-by-name"),
        pytest.param("gpt-6-sol-20261002", "2026-11-22", 4, id="another-snapshot"),
        pytest.param("gpt-6-lunar", "2026-11-22", 1, id="another-model"),
        pytest.param("gpt-6-luna-mini", "2026-11-22", 1, id="a-variant"),
    ],
)
def test_the_entry_that_names_the_model_most_closely_counts_and_of_these_the_latest(model, day, dollars):
    entries = [
        ("*", "2026-11-20", 1),
        ("gpt-6-luna", "2026-01-01", 2),
        ("gpt-6-luna", "2026-11-10", 3),
        ("gpt-6-sol", "2026-01-01", 4),
        ("gpt-6-sol-20261001", "2026-01-01", 5),
    ]
    document = toml(
        *(
            f'model = "{name}"\nvalid_from = {since}\nstandard = {{ input = {price}, output = 0 }}\nbatch = 1'
            for name, since, price in reversed(entries)
        )
    )

    found = book(document, model, datetime.fromisoformat(f"{day}T00:00:00+00:00"))

    assert found.standard.input.base == dollars


@pytest.mark.parametrize(
    ("entry", "model", "vendor"),
    [
        ('model = "gpt-6-luna"\nvalid_from = 2026-12-01\nbatch = 0.1', "gpt-6-luna", "openai"),
        ('model = "gpt-6-luna"\nbatch = 0.1', "claude-haiku-5-5", "anthropic"),
        ('vendor = "anthropic"\nmodel = "*"\nbatch = 0.1', "gpt-6-luna", "openai"),
    ],
    ids=["not-yet", "another-vendor", "all-of-another-vendor"],
)
def test_where_no_entry_fits_the_price_list_holds(entry, model, vendor):
    assert book(toml(entry), model, vendor=vendor) == price_book(vendor, model, TODAY)


def test_a_factor_of_an_unknown_price_is_unknown():
    assert book(toml('model = "*"\nbatch = 0.5'), "a-model-of-tomorrow") is None


def test_a_factor_of_one_is_no_discount():
    assert not book(toml('model = "*"\nbatch = 1'), "gpt-6-luna").discounted


RATES = "standard = { input = 1, output = 1 }"


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b"prices", "Expected '='"),
        (b"\xff", "invalid start byte"),
        (b"price = []", "unknown field `price`"),
        (toml('model = "m"'), r"missing required field `batch` - at `\$.prices\[0\]`"),
        (toml("batch = 1"), "missing required field `model`"),
        (toml('model = "m"\nbatch = "half"'), "Invalid decimal string"),
        (toml('model = "m"\nbatch = 50'), r"prices\[0\] \(openai:m\): batch is a factor between 0 and 1.*, not 50"),
        (toml('model = "m"\nbatch = nan'), "not NaN"),
        (toml('model = "m"\nbatch = 0.3333333'), "6 decimals at most, not 0.3333333"),
        (toml('model = "m"\nbatch = { input = 1e-7, output = 1 }'), "1E-7 is not a price"),
        (toml('model = "m"\nbatch = { input = 1e40, output = 1 }'), "is not a price"),
        (toml('model = "m"\nbatch = 0.5\nstandard = { input = -1, output = 1 }'), "-1 is not a price"),
        (toml('model = "m"\nbatch = { input = 1, output = inf }'), "Infinity is not a price"),
        (toml('model = "m"\nbatch = { input = 1 }'), "missing required field `output`"),
        (toml('model = "m"\nbatch = { input = 1, output = 1, cached = 1 }'), "unknown field `cached`"),
        (toml('model = "m"\nbatch = { input = { base = 1, above = { many = 2 } }, output = 1 }'), "Expected `int`"),
        (toml('model = "m"\nbatch = 1\nvalid_from = "soon"'), "Invalid"),
        (toml(f'model = "m"\nbatch = 1\n{RATES}', f'model = "m"\nbatch = 0.5\n{RATES}'), r"prices\[1\].*earlier entry"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_place(document, reason):
    with pytest.raises(ValueError, match=reason):
        read_prices(document, as_json=False)


def test_json_knows_no_other_numbers_than_toml():
    document = {"prices": [{"vendor": "openai", "model": "m", "batch": float("nan")}]}

    with pytest.raises(ValueError, match="not NaN"):
        read_prices(json.dumps(document).encode(), as_json=True)


def test_the_examples_of_the_documentation_are_right():
    page = (Path(__file__).parents[2] / "docs/how-to/know-the-cost.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)

    embeddings = book(example.encode(), "text-embedding-3-small")
    haiku = book(example.encode(), "claude-haiku-5-5", vendor="anthropic")
    ours = book(example.encode(), "house-model")

    assert (embeddings.discounted, embeddings.batch.input.base) == (True, Decimal("0.01"))
    assert haiku.batch.output.at(100_000) == Decimal("0.5") * Decimal("0.45")
    assert ours.standard.output.at(100_001) == Decimal("1.20")
