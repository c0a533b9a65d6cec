"""One verdict per record: which answer counts, and what all of them took."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llmbatch.core.results import MISSING, NO_USAGE, STATUSES, Result, Usage
from airflow_provider_llmbatch.core.rows import COLUMNS, Answer, Row, Totals, best, money, usage_of

USAGES = st.builds(
    Usage, **dict.fromkeys(("input", "cached_input", "cache_write", "output", "reasoning"), st.integers(0, 10**6))
)


def answers(*statuses):
    return [
        Answer(Result(status=status), round_, f"batch_{round_}", f"j-{round_}-0")
        for round_, status in enumerate(statuses, 1)
    ]


def row(status="succeeded", *, cost=Decimal(0), usage=NO_USAGE, code=None):
    (answer,) = answers(status)
    answer = Answer(Result(status=status, error_code=code), 1, "batch_1", answer.custom_id)
    return Row(0, "0", b"{}", answer, usage, cost)


@pytest.mark.parametrize(
    ("statuses", "round_"),
    [
        pytest.param(["succeeded"], 1, id="only-one"),
        pytest.param(["errored", "succeeded"], 2, id="good-after-bad"),
        pytest.param(["succeeded", "errored"], 1, id="a-paid-answer-is-kept"),
        pytest.param(["succeeded", "missing", "expired"], 1, id="kept-over-two-rounds"),
        pytest.param(["errored", "errored"], 2, id="the-latest-error"),
        pytest.param(["errored", "expired"], 1, id="an-error-tells-more-than-silence"),
        pytest.param(["expired", "cancelled", "missing"], 3, id="the-latest-silence"),
        pytest.param(["invalid", "errored"], 1, id="an-invalid-answer-tells-more-than-an-error"),
        pytest.param(["invalid", "succeeded"], 2, id="good-after-invalid"),
    ],
)
def test_best(statuses, round_):
    assert best(answers(*statuses)).round == round_


@given(st.lists(st.sampled_from(STATUSES), min_size=1, max_size=6))
def test_a_record_that_was_ever_answered_well_is_answered_well(statuses):
    found = best(answers(*statuses))

    assert (found.result.status == "succeeded") == ("succeeded" in statuses)


@given(st.lists(USAGES, max_size=5))
def test_what_all_answers_took_is_added_up(usages):
    found = usage_of([Answer(Result(status="errored", usage=usage), 1, None, "") for usage in usages])

    assert found.as_summary() == {
        name: sum(usage.as_summary()[name] for usage in usages) for name in NO_USAGE.as_summary()
    }


def test_our_columns_stand_in_order():
    result = Result(
        status="succeeded", output="good", finish_reason="stop", model="m-1", usage=Usage(input=1, output=1)
    )
    found = Row(
        3,
        "sku-1",
        b'{"text":"a"}',
        Answer(result, 2, "batch_1", "j-2-3"),
        Usage(input=30, cached_input=20, output=5),
        Decimal("0.00120"),
    ).as_columns()

    assert tuple(found) == COLUMNS
    assert tuple(found.values()) == (
        *(3, "sku-1", "succeeded", "good", None, None, "stop", "m-1", 2, "batch_1", "j-2-3"),
        *(30, 20, 5, "0.0012"),
    )


def test_a_row_without_a_known_price_has_no_cost_and_not_zero():
    assert row(cost=None).as_columns()["llm_cost_usd"] is None
    assert row(cost=Decimal(0)).as_columns()["llm_cost_usd"] == "0"


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "0"),
        ("0E-10", "0"),
        ("0.0123", "0.0123"),
        ("0.01230", "0.0123"),
        ("1E-7", "0.0000001"),
        ("1E+3", "1000"),
        ("100", "100"),
        ("100.00", "100"),
        ("-0.5", "-0.5"),
        ("12345678901234567890.1", "12345678901234567890.1"),
    ],
)
def test_money(amount, text):
    assert money(Decimal(amount)) == text


@given(st.decimals(-(10**12), 10**12, allow_nan=False, allow_infinity=False))
def test_money_loses_nothing(amount):
    assert Decimal(money(amount)) == amount


@given(st.lists(st.sampled_from(STATUSES)))
def test_every_row_is_counted_once(statuses):
    totals = Totals()
    for status in statuses:
        totals.add(row(status))

    assert totals.counts.pop("total") == len(statuses) == sum(totals.counts.values())
    assert list(totals.counts) == list(STATUSES)


def test_errors_are_counted_by_their_code_or_else_by_their_status():
    totals = Totals()
    for found in [row("errored", code="server_error"), row("errored", code="server_error"), row("missing"), row()]:
        totals.add(found)

    assert totals.errors == {"server_error": 2, "missing": 1}


def test_costs_and_tokens_add_up_without_rounding():
    totals = Totals()
    for _ in range(10):
        totals.add(row(cost=Decimal("0.1"), usage=Usage(input=3, output=2)))

    assert totals.cost == 1
    assert totals.usage == Usage(input=30, output=20)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_row_of_unknown_price_makes_the_jobs_price_unknown(place):
    costs = [Decimal(1), Decimal(1)]
    costs.insert(place, None)
    totals = Totals()
    for cost in costs:
        totals.add(row(cost=cost))

    assert totals.cost is None


def test_a_request_without_a_line_may_be_asked_again():
    assert (MISSING.status, MISSING.remedy) == ("missing", "retry")
