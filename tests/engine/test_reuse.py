"""Answers are paid for once, across jobs: what is new or changed is asked, and the rest has the answer of before."""

from __future__ import annotations

import csv
import gzip
import json
from dataclasses import replace
from decimal import Decimal

import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_llmbatch.core.schemas import output_schema
from airflow_provider_llmbatch.engine import advance
from airflow_provider_llmbatch.engine.begin import resume
from airflow_provider_llmbatch.engine.finish import finish
from airflow_provider_llmbatch.engine.manage import status_of
from tests.bench import served
from tests.engine.daily import Daily, paid, refreshed

FREE = {
    "llm_round": 0,
    "llm_input_tokens": 0,
    "llm_cached_input_tokens": 0,
    "llm_output_tokens": 0,
    "llm_cost_usd": "0",
}
PLACE = ("n", "llm_index", "llm_key")
LABEL = {"title": "Label", "type": "object", "properties": {"label": {"enum": ["good", "bad"]}}, "required": ["label"]}


@pytest.fixture(params=["anthropic", "openai"])
def bench(request, emulator, monkeypatch):
    return served(request.param, emulator, monkeypatch)


@pytest.fixture
def daily(bench, tmp_path):
    return Daily(bench, tmp_path)


def without(row, *names):
    return {name: value for name, value in row.items() if name not in names}


def test_a_day_on_which_one_row_in_a_hundred_changed_pays_for_those_rows(daily, emulator):
    texts = [f"review {n}" for n in range(1000)]
    changed = range(7, 1000, 100)
    first = daily.run(texts)
    before = daily.rows()
    for n in changed:
        texts[n] += ", on second thoughts"

    second = daily.run(texts)

    after = daily.rows()
    reused = [(old, new) for old, new in zip(before, after, strict=True) if new["n"] not in changed]
    assert paid(emulator) == 1010
    assert (first["reused"], second["reused"]["rows"]) == ({"rows": 0, "saved_usd": "0"}, 990)
    assert Decimal(second["reused"]["saved_usd"]) == sum(Decimal(old["llm_cost_usd"]) for old, _ in reused) > 0
    assert second["counts"]["succeeded"] == second["counts"]["total"] == 1000
    assert second["usage"]["output_tokens"] == sum(row["llm_output_tokens"] for row in after)
    assert Decimal(second["cost_usd"]) == sum(Decimal(row["llm_cost_usd"]) for row in after)
    assert [row["llm_index"] for row in after] == list(range(1000))
    assert all(new == old | {"text": new["text"]} | FREE for old, new in reused)
    assert [row["n"] for row in after if row["llm_round"] == 1] == list(changed)
    assert len(json.dumps(second)) < 2000


def test_the_next_day_takes_each_answer_from_whichever_day_paid_for_it(daily, emulator):
    daily.run(["a", "b"])
    daily.run(["b", "c"])

    summary = daily.run(["c", "d", "a", "b"])

    assert paid(emulator) == 4
    assert summary["reused"]["rows"] == 3
    assert [row["llm_output"].rsplit(" ", 1)[1] for row in daily.rows()] == ["c", "d", "a", "b"]


def test_a_day_without_a_change_asks_nobody_and_is_complete(daily, emulator):
    daily.run(["a", "b"])
    batches = emulator.bill()["total"]["batches"]

    make = daily.make(["b", "a"])
    summary = daily.bench.complete(make, steps=1)

    assert emulator.bill()["total"]["batches"] == batches
    assert (summary["batch_ids"], summary["rounds"], summary["cost_usd"]) == ([], 1, "0")
    assert summary["counts"]["succeeded"] == summary["reused"]["rows"] == 2
    job = resume(f"file://{daily.here}/job")
    assert (job.refresh().shards, status_of(job)) == ([], "completed")


def test_records_that_ask_the_same_share_an_answer_whether_it_is_new_or_kept(daily, emulator):
    daily.run(["a"])
    cost = Decimal(daily.rows()[0]["llm_cost_usd"])

    summary = daily.run(["a", "b", "a", "b", "a"])

    assert paid(emulator) == 2
    assert [row["llm_round"] for row in daily.rows()] == [0, 1, 0, 1, 0]
    assert summary["reused"] == {"rows": 3, "saved_usd": str(cost)}


@pytest.mark.parametrize("bench", ["openai"], indirect=True)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    days=st.lists(st.lists(st.sampled_from("abcdefghij"), min_size=1, max_size=25), min_size=2, max_size=4),
    block=st.sampled_from([1, 60, 1 << 18]),
    chunk=st.sampled_from([1, 1 << 19, 2 << 20]),
    held=st.sampled_from([0, 3, 1 << 18]),
    key=st.sampled_from([None, "n"]),
)
def test_whatever_the_days_bring_each_text_is_paid_once_and_every_row_has_its_answer(
    bench, emulator, tmp_path_factory, days, block, chunk, held, key
):
    emulator.reset()
    daily = Daily(bench, tmp_path_factory.mktemp("days"))
    known: set[str] = set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("airflow_provider_llmbatch.sources.text.BLOCK_BYTES", block)
        patch.setattr("airflow_provider_llmbatch.engine.reuse.gate.CHUNK", chunk)
        patch.setattr("airflow_provider_llmbatch.storage.lookup.HELD", held)
        for texts in days:
            summary = daily.run(texts, key=key)

            assert [row["text"] for row in daily.rows()] == texts
            assert [row["llm_output"].rsplit(" ", 1)[-1] for row in daily.rows()] == texts
            assert [row["llm_index"] for row in daily.rows()] == list(range(len(texts)))
            assert {row["text"] for row in daily.rows() if row["llm_round"]} == set(texts) - known
            assert summary["reused"]["rows"] == sum(text in known for text in texts)
            known |= set(texts)
            assert paid(emulator) == len(known)


CHANGES = {
    "model": lambda bench: {"model": {"openai": "gpt-6-sol", "anthropic": "claude-sonnet-5-5"}[bench.vendor]},
    "prompt": lambda bench: {"prompt": "Echo  {{ record.text }}"},
    "system": lambda bench: {"system": "Be brief."},
    "max_tokens": lambda bench: {"max_tokens": 77},
    "params": lambda bench: {"params": {"openai": {"top_p": 1}, "anthropic": {"stop_sequences": ["."]}}[bench.vendor]},
    "schema": lambda bench: {"output": output_schema(LABEL)},
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_question_is_asked(daily, emulator, change):
    daily.run(["a"])

    daily.run(["a"], **CHANGES[change](daily.bench))

    assert paid(emulator) == 2


def test_an_answer_counts_only_where_it_is_held_to_the_same_schema(daily, emulator):
    loose = {"type": "object", "properties": {"label": {"type": "string"}}}
    schema = output_schema(LABEL)
    daily.run(["a"], output=schema)

    daily.run(["a"], output=replace(schema, schema=loose))  # the same is sent, and another is checked

    assert paid(emulator) == 2


def test_an_answer_of_another_address_is_not_that_of_this_one(daily, emulator):
    daily.run(["a"])
    object.__setattr__(daily.bench, "host", daily.bench.host.replace("127.0.0.1", "localhost"))
    daily.bench.connect()

    daily.run(["a"])

    assert paid(emulator) == 2


SHAPES = {
    "a prompt": {"prompt": "Echo {{ record.text }}"},
    "a prompt and a system text": {"prompt": "Echo {{ record.text }}", "system": "Of {{ record.text }}: be brief."},
    "a template that computes": {"prompt": "Echo {% if record.text %}{{ record.text | trim }}{% endif %}"},
    "turns": {
        "prompt": None,
        "messages": [
            {"role": "user", "content": "Of {{ record.text }}"},
            {"role": "assistant", "content": "Yes?"},
            {"role": "user", "content": "Echo {{ record.text }}"},
        ],
    },
}


@pytest.mark.parametrize("shape", SHAPES)
def test_whatever_its_request_looks_like_a_record_is_found_again(daily, emulator, shape):
    texts = ["a", 'with "quotes"', "東京", "c\u2028d", "\\n\n", "e"]
    daily.run(texts, **SHAPES[shape])
    expected = {row["text"]: row["llm_output"] for row in daily.rows()}

    daily.run(["new", *reversed(texts)], **SHAPES[shape])

    assert paid(emulator) == len(texts) + 1
    assert [row["llm_round"] for row in daily.rows()] == [1] + [0] * len(texts)
    assert {row["text"]: row["llm_output"] for row in daily.rows()[1:]} == expected


def test_what_a_job_is_called_and_where_a_row_stands_does_not_count(daily, emulator):
    daily.run(["a", "b"], key="n")

    daily.run(["b", "x", "a"], out="other.csv", terms={"max_rounds": 1})

    with (daily.here / "other.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert paid(emulator) == 3
    assert [row["llm_round"] for row in rows] == ["0", "1", "0"]


@pytest.mark.parametrize(("out", "key"), [("out.csv", "text"), ("out.parquet", None), ("out.jsonl.gz", None)])
def test_every_format_has_the_same_rows(daily, out, key):
    texts = [f"text {n}" for n in range(30)]
    daily.run(texts[::2])
    daily.run(texts, plan={"reuse_uri": f"{daily.uri}/elsewhere"}, out=out, key=key)
    expected = read(daily.here / out)

    daily.run(texts, out=out, key=key)

    rows = read(daily.here / out)
    assert [int(row["llm_round"]) for row in rows] == [0, 1] * 15
    same = (*FREE, "llm_batch_id", "llm_custom_id")
    assert [without(row, *same) for row in rows] == [without(row, *same) for row in expected]
    assert {name: Decimal(rows[0][name]) for name in FREE} == dict.fromkeys(FREE, 0)


def read(path):
    if "parquet" in path.name:
        return pyarrow.parquet.read_table(path).to_pylist()
    if path.suffix == ".gz":
        return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("key", [None, "text"])
def test_rows_whose_bytes_are_copied_are_those_that_are_made_one_by_one(daily, monkeypatch, key):
    texts = ['with "quotes"', "东京", "c", "d", "e\u2028f", "g", "h"]
    daily.run(texts[1:6])
    make = daily.make(texts, key=key)
    daily.bench.complete(make)
    copied = (daily.here / "out.jsonl").read_bytes()

    monkeypatch.setattr("airflow_provider_llmbatch.engine.reuse.landing.is_a_row", lambda line: False)
    finish(refreshed(make))

    assert (daily.here / "out.jsonl").read_bytes() == copied
    assert [row["llm_round"] for row in daily.rows()] == [1, 0, 0, 0, 0, 0, 1]
    assert [row["llm_key"] for row in daily.rows()] == (texts if key else [str(n) for n in range(7)])


def test_typed_answers_are_kept_as_the_values_that_they_are(daily, emulator):
    daily.run(["a", "b"], output=output_schema(LABEL))
    expected = [row["llm_output"] for row in daily.rows()]

    daily.run(["a", "b"], output=output_schema(LABEL))

    assert paid(emulator) == 2
    assert [row["llm_output"] for row in daily.rows()] == expected
    assert all(set(output) == {"label"} for output in expected)


def test_a_job_that_is_landed_again_has_the_same_rows_after_the_store_is_gone(daily, tmp_path):
    daily.run(["a", "b"])
    make = daily.make(["a", "c"])
    daily.bench.complete(make)
    landed = (daily.here / "out.jsonl").read_bytes()
    (tmp_path / "store").rename(tmp_path / "gone")

    daily.bench.complete(make, steps=1)

    assert (daily.here / "out.jsonl").read_bytes() == landed


def test_a_process_that_has_only_the_folder_writes_the_rows_and_keeps_the_answers(daily, emulator):
    daily.run(["a"])
    make = daily.make(["a", "b"])
    advance(make())
    daily.bench.finish()

    daily.bench.complete(lambda: resume(f"file://{daily.here}/job", make().terms, clock=daily.bench.clock), steps=1)
    assert daily.run(["b"])["reused"]["rows"] == 1
    assert paid(emulator) == 2
