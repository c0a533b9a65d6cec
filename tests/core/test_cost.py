"""Our price equals the library's, to the last decimal; what has no price is unknown and not free."""

from datetime import UTC, datetime
from decimal import Decimal

import genai_prices
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llmbatch.core.cost import Rate, Rates, price_book
from airflow_provider_llmbatch.core.results import NO_USAGE, Usage

TODAY = datetime(2026, 11, 22, tzinfo=UTC)
OPENAI = [
    *("gpt-6-astra", "gpt-6-sol", "gpt-6-luna", "gpt-6-luna-2026-10-01", "gpt-6.1-sol", "gpt-5.6-terra", "gpt-5.5"),
    *("gpt-5.4", "gpt-5.4-mini", "gpt-5-mini", "gpt-5-pro", "gpt-4.1-mini", "gpt-4o-mini", "gpt-4o-2024-05-13", "o3"),
    *("o4-mini", "text-embedding-3-small"),
]
ANTHROPIC = [
    *("claude-opus-5-5", "claude-opus-5", "claude-opus-4-8", "claude-opus-4-1", "claude-sonnet-5-5", "claude-sonnet-5"),
    *("claude-sonnet-4-6", "claude-sonnet-4-5", "claude-haiku-5-5", "claude-haiku-4-5", "claude-fable-5-2"),
    *("claude-fable-5-1", "claude-mythos-5-2", "claude-3-5-haiku-latest"),
]
MODELS = [("openai", model) for model in OPENAI] + [("anthropic", model) for model in ANTHROPIC]
TIERED = ["claude-haiku-5-5", "claude-sonnet-4-5", "gpt-6-luna", "gpt-5.4"]


def library_price(vendor, model, usage, context):
    """Ask the library itself, as its documentation shows."""
    split = {
        "cache_write_5m_tokens": usage.cache_write - usage.cache_write_1h,
        "cache_write_1h_tokens": usage.cache_write_1h,
    }
    return genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=usage.input,
            cache_read_tokens=usage.cached_input,
            cache_write_tokens=usage.cache_write,
            output_tokens=usage.output,
            **(split if vendor == "anthropic" else {}),
        ),
        model,
        provider_id=vendor,
        genai_request_timestamp=TODAY,
        price_context=context,
    ).total_price


@st.composite
def usages(draw, vendor):
    """Token counts that add up; half of the requests are larger than the tiers begin."""
    tokens = st.integers(0, 5_000) | st.integers(0, 400_000)
    fresh, cached, written, output = (draw(tokens) for _ in range(4))
    long = draw(st.integers(0, written)) if vendor == "anthropic" else 0
    return Usage(
        input=fresh + cached + written, cached_input=cached, cache_write=written, cache_write_1h=long, output=output
    )


@pytest.mark.parametrize(("vendor", "model"), MODELS)
@given(data=st.data())
def test_the_price_is_the_librarys_to_the_last_decimal(vendor, model, data):
    usage = data.draw(usages(vendor))
    book = price_book(vendor, model, TODAY)

    assert book.batch.price(usage) == library_price(vendor, model, usage, {"processing": "batch"})
    assert book.standard.price(usage) == library_price(vendor, model, usage, None)


@pytest.mark.parametrize(("vendor", "model"), [pair for pair in MODELS if pair[1] in TIERED])
@pytest.mark.parametrize("size", [99_999, 100_000, 100_001, 200_000, 200_001, 272_000, 272_001])
def test_a_tier_begins_one_token_above_its_start(vendor, model, size):
    usage = Usage(input=size, cached_input=10, cache_write=10, output=10)
    book = price_book(vendor, model, TODAY)

    assert book.batch.price(usage) == library_price(vendor, model, usage, {"processing": "batch"})
    assert book.standard.price(usage) == library_price(vendor, model, usage, None)


@pytest.mark.parametrize(("vendor", "model"), MODELS)
@given(data=st.data())
def test_many_requests_below_the_tiers_cost_together_what_the_library_says_of_each(vendor, model, data):
    book = price_book(vendor, model, TODAY)
    asked = data.draw(st.lists(usages(vendor), max_size=5))
    small = [usage for usage in asked if usage.input <= min(book.batch.bound, book.standard.bound)]
    total = sum(small, NO_USAGE)

    for rates, context in [(book.batch, {"processing": "batch"}), (book.standard, None)]:
        assert rates.linear(total) == sum(library_price(vendor, model, usage, context) for usage in small)
        assert sum(map(rates.linear, small)) == rates.linear(total)


@pytest.mark.parametrize(
    ("vendor", "model", "usage", "dollars"),
    [
        pytest.param(
            *("openai", "gpt-6-luna", Usage(input=1_000_000, cached_input=0, output=0), "0.1"), id="one-long-request"
        ),
        pytest.param(*("openai", "gpt-6-luna", Usage(input=200_000, output=100_000), "0.035"), id="input-and-output"),
        pytest.param(
            *("openai", "gpt-4.1-mini", Usage(input=1_000_000, cached_input=1_000_000), "0.1"), id="cached-openai"
        ),
        pytest.param(
            *("anthropic", "claude-opus-5-5"),
            Usage(input=5504, cached_input=2000, cache_write=3000, cache_write_1h=2000, output=97),
            "0.012678",
            id="cached-for-minutes-and-hours",
        ),
    ],
)
def test_prices_of_the_day_as_the_vendors_publish_them(vendor, model, usage, dollars):
    assert price_book(vendor, model, TODAY).batch.price(usage) == Decimal(dollars)


def test_nothing_costs_nothing():
    assert price_book("openai", "gpt-6-luna", TODAY).batch.price(NO_USAGE) == 0


def test_reasoning_is_part_of_the_output_and_not_billed_twice():
    book = price_book("openai", "gpt-6-luna", TODAY)

    assert book.batch.price(Usage(output=100, reasoning=90)) == book.batch.price(Usage(output=100))


@given(st.lists(usages("anthropic"), max_size=4))
def test_requests_are_priced_one_by_one_since_a_tier_depends_on_a_single_one(asked):
    book = price_book("anthropic", "claude-haiku-5-5", TODAY).batch

    one_by_one = sum((book.price(usage) for usage in asked), Decimal(0))

    assert one_by_one <= book.price(sum(asked, NO_USAGE))


@pytest.mark.parametrize(
    ("vendor", "model"),
    [
        ("openai", "a-model-of-tomorrow"),
        ("openai", ""),
        ("openai", "my-azure-deployment"),
        ("openai", "whisper-1"),
        ("openai", "tts-1"),
        ("openai", "moderation"),
        ("anthropic", "claude-unheard-of-9"),
        ("a-vendor-of-tomorrow", "gpt-6-luna"),
    ],
)
def test_a_model_without_a_token_price_has_no_price_rather_than_none_to_pay(vendor, model):
    assert price_book(vendor, model, TODAY) is None


@pytest.mark.parametrize(
    ("vendor", "model", "discounted"),
    [
        ("openai", "gpt-6-luna", True),
        ("anthropic", "claude-haiku-5-5", True),
        ("openai", "gpt-4o-mini", True),
        ("openai", "text-embedding-3-small", False),
        ("anthropic", "claude-opus-4-1", False),
    ],
)
def test_a_missing_batch_rate_is_noticed(vendor, model, discounted):
    assert price_book(vendor, model, TODAY).discounted is discounted


def test_an_old_job_keeps_the_prices_of_its_day():
    """The library knows batch rates from 2026-10-14 on."""
    before = price_book("openai", "gpt-5-mini", datetime(2026, 10, 13, tzinfo=UTC))
    after = price_book("openai", "gpt-5-mini", TODAY)

    assert not before.discounted
    assert after.discounted
    assert before.batch.price(Usage(input=1000)) == 2 * after.batch.price(Usage(input=1000))


def test_a_price_names_where_it_comes_from():
    assert price_book("openai", "gpt-6-luna", TODAY).source == f"genai-prices {genai_prices.__version__} batch"


@pytest.mark.parametrize(
    ("usage", "dollars"),
    [
        pytest.param(Usage(input=5000, output=9), "0", id="no-cache"),
        pytest.param(Usage(input=5000, cached_input=4000, output=9), "0.0036", id="read"),  # 0.9 of a dollar a million
        pytest.param(Usage(input=5000, cache_write=4000), "-0.001", id="written-for-minutes"),  # 1.25 instead of 1
        pytest.param(Usage(input=5000, cache_write=4000, cache_write_1h=4000), "-0.004", id="written-for-an-hour"),
        pytest.param(
            Usage(input=9000, cached_input=4000, cache_write=4000, cache_write_1h=1000), "0.00185", id="all-of-it"
        ),
    ],
)
def test_what_a_cache_saves_is_the_difference_to_plain_input(usage, dollars):
    prices = {"input": "1", "cache_read": "0.1", "cache_write_5m": "1.25", "cache_write_1h": "2", "output": "5"}
    rates = Rates(**{name: Rate(Decimal(price)) for name, price in prices.items()})

    assert rates.saved_by_cache(usage) == Decimal(dollars)


def test_rates_multiply_what_they_are_for():
    rates = Rates(
        input=Rate(Decimal(1)),
        cache_read=Rate(Decimal(10)),
        cache_write_5m=Rate(Decimal(100)),
        cache_write_1h=Rate(Decimal(1000)),
        output=Rate(Decimal(10000)),
    )

    usage = Usage(input=10, cached_input=2, cache_write=5, cache_write_1h=3, output=4)

    assert rates.price(usage) * 1_000_000 == 3 * 1 + 2 * 10 + 2 * 100 + 3 * 1000 + 4 * 10000
