"""An estimate is as close as it says, and says when it cannot be."""

from decimal import Decimal
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llmbatch.core.cost import PriceBook, Rate, Rates
from airflow_provider_llmbatch.core.estimate import Money, dollars
from airflow_provider_llmbatch.core.estimator import Estimator, Lane, Lesson, Past, Sampled, learn
from airflow_provider_llmbatch.core.results import Usage
from airflow_provider_llmbatch.core.shards import Shard
from airflow_provider_llmbatch.core.texts import DEFAULT_ERROR, Weight

FACTS = {"round": 1, "at": 0.0, "vendor": "v", "model": "m", "question": "q"}


def rates(scale="1", tier=None):
    def rate(price):
        return Rate(Decimal(price) * Decimal(scale), () if tier is None else ((tier, Decimal(price) * 5),))

    return Rates(
        input=rate(2), cache_read=rate("0.2"), cache_write_5m=rate("2.5"), cache_write_1h=rate(4), output=rate(10)
    )


BOOK = PriceBook(rates("0.5"), rates(), "a list")


def one(tokens=100.0, bound=50, size=500, model="m"):
    return Sampled(size, Weight(int(tokens * 4), tokens), model, bound)


def whole(*requests, name=""):
    return Lane(name, len(requests), sum(request.bytes for request in requests), [requests], True)


def estimate(*lanes, lesson=None, book=BOOK, **options):
    return Estimator(lesson or Lesson(1.0), lambda model: book if model == "m" else None, **options)(lanes, **FACTS)


# -- by hand -----------------------------------------------------------------------------------------------------


def test_a_first_job_is_bounded_by_what_each_request_allows():
    """1,000 tokens of input at 1 USD a million in a batch, and 500 of output at 5; the input may be 30 % more."""
    found = estimate(whole(*[one()] * 10))

    assert (found.input_tokens.expected, found.input_tokens.error, found.input_tokens.at_most) == (1000, 300, 1300)
    assert (found.output_tokens.expected, found.output_tokens.at_most) == (None, 500)
    assert found.cost_usd == Money(expected=None, error=found.cost_usd.error, at_most=Decimal("0.0038"))
    assert found.sync_cost_usd.at_most == Decimal("0.0076")
    assert found.saved_usd == Decimal("0.0038")
    assert found.cost_usd.upper == found.cost_usd.best == Decimal("0.0038")
    assert (found.jobs, found.price_source) == ([], "a list")


def test_an_earlier_job_says_how_long_answers_are_and_how_tokens_are_counted():
    past = Past("run", 100, 10_000, Usage(input=12_000, output=800), True)

    found = estimate(whole(*[one()] * 10), lesson=learn([past], 1.0))

    assert found.input_tokens.expected == 1200
    assert found.input_tokens.error == 120
    assert found.output_tokens.expected == 80
    assert found.output_tokens.error == round(80 * (0.2**2 + 0.2**2) ** 0.5)  # one job; a hundred answers
    assert found.cost_usd.expected == Decimal("0.0016")  # 1,200 at 1 USD, 80 at 5
    assert found.cost_usd.upper == found.cost_usd.expected + found.cost_usd.error < found.cost_usd.at_most
    assert found.characters_per_token == pytest.approx(4000 / 1200, abs=0.01)


def test_what_a_cache_held_before_makes_the_next_job_cheaper():
    past = Past("run", 100, 10_000, Usage(input=10_000, cached_input=9_000, cache_write=500, output=0), True)

    found = estimate(whole(*[one(tokens=1000, bound=0)] * 10), lesson=learn([past], 1.0))

    # of 10,000: 500 plain at 1 USD, 9,000 read at 0.10, 500 written at 1.25
    assert found.cost_usd.expected == Decimal("0.002025")


def test_a_cache_that_has_to_be_written_may_cost_more_than_none():
    plain, marked = (estimate(whole(one(bound=0)), writes=writes).cost_usd.at_most for writes in (None, "1h"))

    assert (plain, marked) == (Decimal("0.00013"), Decimal("0.00026"))


def test_a_large_request_is_priced_by_its_tier():
    book = PriceBook(rates("0.5", tier=1000), rates(tier=1000), "a list")

    small, large = (estimate(whole(one(tokens=tokens, bound=0)), book=book).cost_usd for tokens in (1000, 1001))

    assert float(large.expected) > 4.9 * float(small.expected)


@pytest.mark.parametrize(
    ("lane", "lesson", "expected", "at_most"),
    [
        pytest.param(whole(one(bound=0)), None, 0, 0, id="vectors-have-no-tokens"),
        pytest.param(whole(one(bound=None)), None, None, None, id="no-bound"),
        pytest.param(whole(one(bound=None), one()), Lesson(1.0, output=8.0), 16, None, id="no-bound-and-a-job-before"),
        pytest.param(whole(one(bound=4), one(bound=4)), Lesson(1.0, output=80.0), 8, 8, id="never-more-than-the-bound"),
    ],
)
def test_output(lane, lesson, expected, at_most):
    found = estimate(lane, lesson=lesson)

    assert (found.output_tokens.expected, found.output_tokens.at_most) == (expected, at_most)
    assert (found.cost_usd.expected is None) == (expected is None)
    assert (found.cost_usd.at_most is None) == (at_most is None)


def test_one_model_without_a_price_makes_the_cost_unknown():
    found = estimate(whole(one(), one(model="new")))

    assert (found.cost_usd, found.sync_cost_usd, found.saved_usd) == (None, None, None)
    assert found.unpriced == ["new"]
    assert found.share_of(Shard(number=0, count=1, bytes=500, sha256="", first=0, last=0)) is None


def test_pictures_may_be_wrong_by_all_of_them():
    picture = Sampled(900, Weight(4, 1001.0, 1000.0), "m", 0)

    assert estimate(whole(picture)).input_tokens.error == 1000


def test_no_requests_cost_nothing():
    found = estimate()

    assert (found.requests, found.cost_usd.expected, found.cost_usd.at_most) == (0, 0, 0)


# -- what jobs teach ---------------------------------------------------------------------------------------------


def test_without_jobs_the_vendors_tokenizer_is_all_that_is_known():
    assert learn([], 1.3) == Lesson(1.3, DEFAULT_ERROR)


def test_jobs_that_agree_leave_a_smaller_error_than_one_alone():
    def job(input_, output):
        return Past("run", 10_000, 100_000, Usage(input=input_, output=output), True)

    alone = learn([job(120_000, 50_000)], 1.0)
    alike = learn([job(120_000, 50_000), job(121_000, 50_500), job(119_000, 49_500)], 1.0)
    apart = learn([job(120_000, 50_000), job(150_000, 90_000), job(90_000, 10_000)], 1.0)

    assert alike.factor == pytest.approx(alone.factor) == pytest.approx(1.2)
    assert alike.factor_error < alone.factor_error < apart.factor_error
    assert alike.output_error < alone.output_error < apart.output_error


# -- the sample --------------------------------------------------------------------------------------------------


def sampled_lane(chance, requests, places=64, lines=8):
    """Take pieces of neighbouring requests at random places, as the engine does."""
    ends, total = [], 0
    for request in requests:
        total += request.bytes
        ends.append(total)
    pieces = []
    for number in range(places):
        start = (number + chance.random()) * total / places
        first = next((place for place, end in enumerate(ends) if end > start), 0) + 1
        pieces.append(requests[first : first + lines] or requests[:lines])
    return Lane("", len(requests), total, pieces, False)


def test_the_truth_lies_within_the_error_that_is_said_nineteen_times_of_twenty():
    """Requests get longer and longer through the file, so that neighbours are alike; so do their answers."""
    chance, inside = Random(7), 0
    for _ in range(100):
        requests = []
        for number in range(3_000):
            tokens = chance.randint(20, 200) + number // 20
            requests.append(one(tokens=tokens, size=int(300 + tokens * chance.uniform(3.5, 4.5)), bound=tokens))
        truth = sum(request.weight.tokens for request in requests)
        found = estimate(sampled_lane(chance, requests), lesson=Lesson(1.0, factor_error=0.0))
        inside += abs(found.input_tokens.expected - truth) <= found.input_tokens.error
        assert found.input_tokens.error < 0.05 * truth
        assert found.output_tokens.at_most >= 0.9 * truth
    assert inside >= 90


@given(st.lists(st.tuples(st.integers(1, 5_000), st.integers(1, 20_000)), min_size=1, max_size=12), st.integers(0, 99))
def test_the_shares_of_all_shards_are_no_more_than_the_whole_and_miss_next_to_nothing(shards, bound):
    lane = Lane("", sum(n for n, _ in shards), sum(size for _, size in shards), [[one(bound=bound)] * 5], True)

    found = estimate(lane)

    shares = [
        found.share_of(Shard(number=number, count=count, bytes=size, sha256="", first=0, last=count))
        for number, (count, size) in enumerate(shards)
    ]
    upper = found.cost_usd.upper
    assert upper - Decimal("1e-10") <= sum(shares) <= upper


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (Decimal("412.0061"), "412.01 USD"),
        (Decimal("1234567.891"), "1,234,567.89 USD"),
        (Decimal("0.0123456"), "0.0123 USD"),
        (Decimal("0.00000812"), "0.00000812 USD"),
        (Decimal(0), "0 USD"),
        (None, "unknown"),
    ],
)
def test_dollars_are_written_for_a_person(amount, text):
    assert dollars(amount) == text
