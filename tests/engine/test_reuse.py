"""Answers are paid for once, across jobs: what is new or changed is asked, and the rest has the answer of before."""

from __future__ import annotations

import csv
import gzip
import json
from dataclasses import replace
from decimal import Decimal

import pyarrow.parquet
import pytest

from airflow_provider_llmbatch.core.schemas import output_schema
from airflow_provider_llmbatch.engine import advance
from airflow_provider_llmbatch.engine.begin import reopen, resume
from airflow_provider_llmbatch.engine.finish import finish
from airflow_provider_llmbatch.engine.job import Plan
from airflow_provider_llmbatch.engine.manage import status_of
from airflow_provider_llmbatch.engine.reuse import REUSED
from airflow_provider_llmbatch.exceptions import InputError, ManifestError
from airflow_provider_llmbatch.storage.answers import Segment, Store
from tests.bench import served

DAY = 24 * 60 * 60
FREE = {
    "llm_round": 0,
    "llm_input_tokens": 0,
    "llm_cached_input_tokens": 0,
    "llm_output_tokens": 0,
    "llm_cost_usd": "0",
}
PLACE = ("n", "llm_index", "llm_key")
LABEL = {"title": "Label", "type": "object", "properties": {"label": {"enum": ["good", "bad"]}}, "required": ["label"]}


class Daily:
    """A job that is run again and again, each time over the table of that day, with one store."""

    def __init__(self, bench, folder):
        self.bench = bench
        self.folder = folder
        self.uri = f"file://{folder}/store"
        self.day = 0

    def make(self, texts, *, plan=None, **changes):
        """Return how to begin the job of another day, or to go on with it."""
        self.day += 1
        here = self.folder / f"day-{self.day}"
        here.mkdir()
        rows = ({"n": n, "text": text} for n, text in enumerate(texts))
        (here / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        given = {"prompt": "Echo {{ record.text }}", "plan": {"reuse_uri": self.uri} | (plan or {})} | changes
        return lambda: self.bench.job(here, str(here / "in.jsonl"), **given)

    def run(self, texts, **changes):
        """Run the job of another day to its end and return its summary."""
        return self.bench.complete(self.make(texts, **changes))

    @property
    def here(self):
        return self.folder / f"day-{self.day}"

    def rows(self, out="out.jsonl"):
        return [json.loads(line) for line in (self.here / out).read_bytes().splitlines()]


@pytest.fixture(params=["anthropic", "openai"])
def bench(request, emulator, monkeypatch):
    return served(request.param, emulator, monkeypatch)


@pytest.fixture
def daily(bench, tmp_path):
    return Daily(bench, tmp_path)


def paid(emulator):
    """How many requests were billed so far."""
    return emulator.bill()["total"]["requests_billed"]


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


def refreshed(make):
    job = make()
    job.refresh()
    return job


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


# -- what is kept ------------------------------------------------------------------------------------------------------


def test_an_answer_of_a_later_round_is_that_of_the_question_asked_first(daily, emulator):
    emulator.fault("*.batches.create", row="truncated", index=[1], times=1)
    daily.run(["a", "b", "c"], max_tokens=60)
    rounds = [row["llm_round"] for row in daily.rows()]
    cost = sum(Decimal(row["llm_cost_usd"]) for row in daily.rows())

    summary = daily.run(["a", "b", "c"], max_tokens=60)

    assert rounds == [1, 2, 1]
    assert paid(emulator) == 4
    assert summary["reused"] == {"rows": 3, "saved_usd": str(cost)}  # both rounds of b


def test_what_failed_is_not_kept(daily, emulator):
    emulator.fault("*.batches.create", row="refusal", index=[0], times=1)
    emulator.fault("*.batches.create", row="truncated", index=[1], times=1)
    daily.run(["a", "b", "c"], terms={"max_rounds": 1})
    bad = [row["n"] for row in daily.rows() if row["llm_status"] != "succeeded"]

    assert bad == [0, 1]
    assert daily.run(["a", "b", "c"])["reused"]["rows"] == 1


def test_the_fallback_models_answer_is_not_kept_as_that_of_the_model_that_was_asked_first(daily, emulator):
    other = {"openai": "gpt-6-sol", "anthropic": "claude-sonnet-5-5"}[daily.bench.vendor]
    emulator.fault("*.batches.create", row="refusal", index=[1], times=1)
    daily.run(["a", "b", "c"], terms={"fallback_model": other})
    models = [row["llm_model"].startswith(other) for row in daily.rows()]

    summary = daily.run(["a", "b", "c"])

    assert models == [False, True, False]
    assert summary["reused"]["rows"] == 2


def test_the_answers_of_failed_rows_that_are_asked_once_more_are_kept_as_well(daily, emulator):
    emulator.fault("*.batches.create", row="server_error", index=[1], times=1)
    make = daily.make(["a", "b"], terms={"max_rounds": 1})
    daily.bench.complete(make)
    terms = replace(make().terms, max_rounds=3)

    def again():
        job = resume(f"file://{daily.here}/job", terms, clock=daily.bench.clock, sleep=daily.bench.clock.sleep)
        reopen(job, "by hand")
        return job

    daily.bench.complete(again)

    assert daily.run(["a", "b"])["reused"]["rows"] == 2
    assert [segment.fetch().head.answers for segment in Store(daily.uri).segments()] == [1, 1]


def test_a_segment_is_written_once_and_again_only_if_it_is_gone(daily):
    make = daily.make(["a", "b"])
    daily.bench.complete(make)
    files = {path: path.read_bytes() for path in (daily.folder / "store/v1").iterdir()}
    times = {path: path.stat().st_mtime_ns for path in files}

    finish(refreshed(make))
    assert {path: path.stat().st_mtime_ns for path in files} == times

    for path in files:
        path.unlink()
    finish(refreshed(make))
    assert {path: path.read_bytes() for path in (daily.folder / "store/v1").iterdir()} == files


# -- how old an answer may be ------------------------------------------------------------------------------------------


def test_an_answer_that_is_older_than_reuse_ttl_is_asked_anew_and_the_new_one_counts(daily, emulator):
    daily.run(["a"])
    daily.bench.clock.ahead += 10 * DAY
    ttl = {"reuse_ttl": 7.0 * DAY}

    assert daily.run(["a"], plan=ttl)["reused"]["rows"] == 0
    assert daily.run(["a"], plan=ttl)["reused"]["rows"] == 1
    assert paid(emulator) == 2
    assert daily.rows()[0]["llm_custom_id"].startswith(resume(f"file://{daily.folder}/day-2/job").spec.job_id)


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        ({"reuse_uri": "s3://lake/answers", "dedupe": False}, r"dedupe=False .* reuse_uri never asks"),
        ({"reuse_uri": "s3://lake/answers", "reuse_ttl": 0.0}, "above 0"),
        ({"reuse_ttl": 1.0}, "goes with reuse_uri"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(plan, reason):
    with pytest.raises(InputError, match=reason):
        Plan(question=None, source=None, **plan)


# -- a store that is not as it should be -------------------------------------------------------------------------------


def test_a_store_that_cannot_be_read_stops_the_job_before_anything_is_sent(daily, emulator):
    daily.run(["a"])
    (index,) = (daily.folder / "store/v1").glob("*.index")
    whole = index.read_bytes()
    index.write_bytes(whole[:-3])
    make = daily.make(["a", "b"])

    with pytest.raises(ManifestError, match="Nothing was sent"):
        advance(make())
    assert paid(emulator) == 1

    index.write_bytes(whole)
    assert daily.bench.complete(make)["reused"]["rows"] == 1


def test_a_store_that_cannot_be_written_is_a_warning_and_the_rows_are_there(daily, emulator, caplog):
    make = daily.make(["a"])
    advance(make())
    daily.bench.finish()
    (daily.folder / "store").write_text("this is no folder")

    summary = daily.bench.complete(make, steps=1)

    assert summary["counts"]["succeeded"] == 1
    assert daily.rows()[0]["llm_status"] == "succeeded"
    assert "could not be kept" in caplog.text
    (daily.folder / "store").unlink()
    finish(refreshed(make))  # as when the task is cleared
    assert daily.run(["a"])["reused"]["rows"] == 1


@pytest.mark.parametrize("gone", ["index", "jsonl"])
def test_answers_that_are_purged_while_they_are_looked_up_are_asked(daily, emulator, monkeypatch, gone):
    daily.run(["a"])
    daily.run(["b"])
    newest = Store(daily.uri).segments()[0].name
    find = Segment.find

    def purged(segment, digests):
        found = find(segment, digests)
        (daily.folder / f"store/v1/{newest}.{gone}").unlink(missing_ok=True)
        return found

    monkeypatch.setattr(Segment, "find", purged)

    summary = daily.run(["a", "b"])

    assert summary["reused"]["rows"] == (2 if gone == "index" else 1)
    assert [row["llm_output"].rsplit(" ", 1)[1] for row in daily.rows()] == ["a", "b"]
    assert (daily.here / "job" / REUSED).exists()
