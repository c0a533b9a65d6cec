"""Prices of one's own in a job: they are taken when it begins, and no later edit changes what it cost."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import genai_prices
import pytest

from airflow_provider_llmbatch._compat import ObjectStoragePath
from airflow_provider_llmbatch.core.cost import price_book
from airflow_provider_llmbatch.engine import advance
from airflow_provider_llmbatch.exceptions import InputError, ManifestError
from tests.bench import Bench, served
from tests.storage.conftest import store  # noqa: F401 - the fixture

RECORDS = [{"text": f"text {number}"} for number in range(5)]
MODEL = "gpt-6-luna"


@pytest.fixture
def bench(emulator, monkeypatch) -> Bench:
    return served("openai", emulator, monkeypatch)


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Write prices of one's own, for the input of *model* alone, and let the option name them."""
    (tmp_path / "bucket").mkdir()

    def write(price: str, model: str = MODEL, uri: str = f"file://{tmp_path}/bucket/prices.toml", **more: str) -> str:
        lines = {"vendor": '"openai"', "model": f'"{model}"', "batch": "0.5"}
        lines |= {"standard": f"{{ input = {price}, output = 0 }}", **more}
        text = "[[prices]]\n" + "\n".join(f"{name} = {value}" for name, value in lines.items())
        ObjectStoragePath(uri).write_text(text)
        monkeypatch.setenv("AIRFLOW__LLMBATCH__PRICES", uri)
        return uri

    return write


def run(bench: Bench, folder: Path, **given: Any) -> dict[str, Any]:
    return bench.complete(lambda: bench.job(folder, RECORDS, **{"prompt": "Echo {{ record.text }}", **given}))


def per_token(summary: dict[str, Any]) -> Decimal:
    """Return the batch price of a million tokens of input, where nothing else costs anything."""
    return Decimal(summary["cost_usd"]) * 1_000_000 / summary["usage"]["input_tokens"]


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("uri", ["file://{}/bucket/mine.toml", "memory://bucket/mine.toml"])
def test_they_go_before_those_of_the_price_list_wherever_they_lie(bench, own, tmp_path, uri):
    uri = own("0.07", uri=uri.format(tmp_path))

    summary = run(bench, tmp_path)

    assert per_token(summary) == Decimal("0.035")
    assert Decimal(summary["sync_cost_usd"]) == Decimal(summary["cost_usd"]) * 2
    assert (summary["price_source"], summary["discount"]) == (uri, "applied")


def test_an_edit_or_another_release_of_the_price_list_does_not_change_what_a_job_cost(
    bench, own, tmp_path, monkeypatch
):
    own("0.07", model="another-model")  # the list's price holds
    listed = run(bench, tmp_path / "listed")
    own("0.07")
    ours = run(bench, tmp_path / "ours")
    before = {name: (tmp_path / name / "out.jsonl").read_bytes() for name in ("listed", "ours")}

    own("99")

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("the price list is asked again")

    monkeypatch.setattr(genai_prices, "calc_price", refuse)
    price_book.cache_clear()
    assert run(bench, tmp_path / "listed") == listed
    assert run(bench, tmp_path / "ours") == ours
    assert {name: (tmp_path / name / "out.jsonl").read_bytes() for name in before} == before
    assert per_token(run(bench, tmp_path / "later")) == Decimal("49.5")


def test_a_job_has_the_prices_of_the_day_on_which_it_began(bench, own, tmp_path):
    own("0.07", valid_from="2020-01-01")
    assert per_token(run(bench, tmp_path / "now")) == Decimal("0.035")

    own("0.07", valid_from="2999-01-01")
    assert "genai-prices" in run(bench, tmp_path / "too-early")["price_source"]


def test_a_price_that_nobody_knew_may_be_named_later(bench, emulator, own, tmp_path):
    emulator.set_options(models=("house-model",))
    unknown = run(bench, tmp_path, model="house-model")

    own("0.07", model="house-model")
    known = run(bench, tmp_path, model="house-model")

    assert (unknown["cost_usd"], unknown["price_source"]) == (None, None)
    assert per_token(known) == Decimal("0.035")
    assert emulator.bill()["total"]["batches"] == 1


def test_a_round_with_another_model_keeps_the_prices_of_the_first(bench, emulator, own, tmp_path):
    emulator.fault("*.batches.create", row="server_error", index=[0, 1], times=1)
    own("0.07")
    one = run(bench, tmp_path, terms={"max_rounds": 1})
    own("99", model="*")

    two = run(bench, tmp_path, terms={"max_rounds": 2, "fallback_model": "gpt-6-sol"})

    first, second = json.loads((tmp_path / "job" / "summary.json").read_bytes())["by_round"]
    assert first["cost_usd"] == one["cost_usd"]
    assert Decimal(second["cost_usd"]) * 1_000_000 / second["usage"]["input_tokens"] == Decimal("49.5")
    assert Decimal(two["cost_usd"]) == Decimal(first["cost_usd"]) + Decimal(second["cost_usd"])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "FileNotFoundError"),
        ("[[prices]]", "missing required field `vendor`"),
        ("prices = 7", "Expected `array`"),
    ],
    ids=["not-there", "not-whole", "not-a-list"],
)
def test_a_bad_file_is_an_error_before_anything_is_sent(bench, emulator, tmp_path, monkeypatch, text, reason):
    path = tmp_path / "prices.toml"
    if text is not None:
        path.write_text(text)
    monkeypatch.setenv("AIRFLOW__LLMBATCH__PRICES", f"file://{path}")

    with pytest.raises(InputError, match=rf"prices\.toml.*\[llmbatch\] prices.*{reason}.*Nothing is sent"):
        run(bench, tmp_path)

    assert emulator.counts() == {}


def test_a_file_that_broke_meanwhile_loses_nothing(bench, emulator, own, tmp_path):
    own("0.07")
    emulator.set_options(batch_seconds=10_000)
    advance(bench.job(tmp_path, RECORDS, prompt="Echo {{ record.text }}"))
    own("many")
    bench.finish()
    with pytest.raises(InputError, match="nothing is lost"):
        advance(bench.job(tmp_path, RECORDS, prompt="Echo {{ record.text }}"))
    own("0.07")

    summary = run(bench, tmp_path)

    assert per_token(summary) == Decimal("0.035")
    assert emulator.bill()["total"]["batches"] == 1


def test_kept_prices_that_cannot_be_read_are_an_error_and_no_other_price(bench, own, tmp_path):
    own("0.07")
    run(bench, tmp_path)
    (tmp_path / "job" / "prices" / "00000.json").write_text("{")

    with pytest.raises(ManifestError, match=r"prices/00000\.json.*delete it for prices of today"):
        run(bench, tmp_path)
