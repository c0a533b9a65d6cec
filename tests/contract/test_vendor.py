"""What every vendor's hook must do. A new vendor gets this suite by one line in ``vendors.py``."""

from __future__ import annotations

import asyncio
import csv
import json
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec
import pytest

from airflow_provider_llmbatch.core.requests import SAME, Ask, custom_id, index_of
from airflow_provider_llmbatch.core.results import Line
from airflow_provider_llmbatch.exceptions import CredentialError, InputError, NotFoundError
from airflow_provider_llmbatch.hooks.base import BatchHook
from airflow_provider_llmbatch.hooks.calls import Marker
from tests.bench import KEY, Bench

JOB = "0123456789"


def ask(bench: Bench, text: str = "Say hello") -> Ask:
    messages = [{"role": "user", "content": text}]
    return Ask(model=bench.model, messages=messages, system=None, max_tokens=64, params={}, body={})


def request_file(bench: Bench, hook: BatchHook, folder: Path, count: int = 3) -> Path:
    path = folder / "requests.jsonl"
    lines = [hook.encode(custom_id(JOB, 1, index), ask(bench, f"Say {index}"), None).line for index in range(count)]
    path.write_bytes(b"".join(lines))
    return path


def marker(count: int = 3, shard: str = "r1-00000", since: float = 0.0) -> Marker:
    return Marker(job=JOB, shard=shard, sha256="ab" * 32, count=count, since=since)


def submit(bench: Bench, hook: BatchHook, folder: Path, count: int = 3, shard: str = "r1-00000") -> str:
    path = request_file(bench, hook, folder, count)
    return hook.create(path, hook.stage(path, "requests.jsonl"), marker(count, shard)).batch_id


# -- connection ------------------------------------------------------------------------------------------------


def test_the_right_key_passes_and_the_test_button_says_so(bench):
    assert bench.hook().test_connection()[0] is True


def test_a_wrong_key_is_a_credential_error_that_does_not_repeat_the_key(bench):
    hook = bench.hook(key="wrong-key-0123456789")

    with pytest.raises(CredentialError) as caught:
        hook.preflight()

    assert "wrong-key" not in str(caught.value)
    assert hook.test_connection()[0] is False


def test_a_missing_connection_is_named_before_anything_is_sent(bench):
    hook = type(bench.hook())("no_such_connection")

    with pytest.raises(InputError, match=r"'no_such_connection' cannot be read.*Nothing was sent"):
        hook.preflight()


def test_a_connection_without_a_key_is_refused(bench):
    with pytest.raises(InputError, match="password is empty"):
        bench.hook(key="").preflight()


def test_the_key_shows_in_no_representation(bench):
    hook = bench.hook()

    assert KEY not in repr(hook.settings)


# -- requests --------------------------------------------------------------------------------------------------


def test_a_request_is_one_line_that_carries_its_id_and_real_utf8(bench):
    line = bench.hook().encode(custom_id(JOB, 1, 7), ask(bench, "Größe 東京\nzwei"), None).line

    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert msgspec.json.decode(line, type=Line).custom_id == f"{JOB}-1-7"


def test_a_request_is_asked_again_under_another_id_with_its_body_untouched(bench):
    hook = bench.hook()
    line = hook.encode(custom_id(JOB, 1, 7), ask(bench, "Say hello"), None).line

    again = hook.revise(custom_id(JOB, 2, 7), line, SAME).line

    before, after = json.loads(line), json.loads(again)
    assert after.pop("custom_id") == f"{JOB}-2-7"
    before.pop("custom_id")
    assert after == before


def test_every_limit_names_its_source_and_the_day_it_was_read(bench):
    limits = bench.hook().limits

    assert limits.source.startswith("https://")
    assert date(2026, 1, 1) <= limits.checked <= datetime.now(UTC).date()


def test_a_connection_may_lower_the_limits_and_never_raise_them(bench):
    limits = type(bench.hook()).LIMITS

    assert bench.hook(max_requests=2).limits.max_requests == 2
    assert bench.hook(max_requests=10**9).limits.max_requests == limits.max_requests


# -- batches ---------------------------------------------------------------------------------------------------


def test_a_batch_is_seen_alone_and_in_the_list_and_by_the_triggerer_alike(bench, tmp_path):
    hook = bench.hook()
    ids = [submit(bench, hook, tmp_path, shard=f"r1-0000{number}") for number in range(2)]

    alone = [hook.run(hook.look([batch_id]))[batch_id] for batch_id in ids]
    together = hook.run(hook.look(ids))

    async def looked():
        async with hook.async_client() as client:
            return await hook.arun(hook.look(ids), client)

    assert [batch.batch_id for batch in alone] == ids
    assert together.keys() == set(ids) == asyncio.run(looked()).keys()


def test_the_list_is_walked_over_all_its_pages_newest_first(bench, tmp_path, monkeypatch):
    hook = bench.hook()
    monkeypatch.setattr(type(hook), "page_size", 2)
    ids = [submit(bench, hook, tmp_path, shard=f"r1-0000{number}") for number in range(5)]

    listed = [batch.batch_id for batch in hook.run(hook.batches_since(0))]

    assert listed == ids[::-1]


def test_an_unknown_batch_is_left_out_and_asking_for_it_is_a_not_found(bench, tmp_path):
    hook = bench.hook()
    known = submit(bench, hook, tmp_path)

    assert hook.run(hook.look([known, "batch_unknown"])).keys() == {known}
    with pytest.raises(NotFoundError):
        hook.get(hook.batch_call("batch_unknown"))


def test_a_batch_whose_answer_was_lost_is_found_again(bench, tmp_path):
    hook = bench.hook()
    batch_id = submit(bench, hook, tmp_path, count=3)
    submit(bench, hook, tmp_path, count=2, shard="r1-00001")

    sighting = hook.run(hook.find(marker(count=3)))

    if hook.has_metadata:
        assert sighting.certain is not None
        assert sighting.certain.batch_id == batch_id
    else:
        assert [batch.batch_id for batch in sighting.candidates] == [batch_id]


def test_nothing_is_found_where_nothing_was_sent(bench, tmp_path):
    hook = bench.hook()
    submit(bench, hook, tmp_path, count=2)

    sighting = hook.run(hook.find(marker(count=77, shard="r9-00009")))

    assert sighting.certain is None
    assert sighting.candidates == []


def test_a_cancelled_batch_ends(bench, tmp_path):
    hook = bench.hook()
    batch_id = submit(bench, hook, tmp_path)

    hook.cancel(batch_id)
    bench.finish()

    assert hook.run(hook.look([batch_id]))[batch_id].is_terminal


def test_every_request_comes_back_with_its_id_an_answer_and_its_tokens(bench, tmp_path):
    hook = bench.hook()
    batch_id = submit(bench, hook, tmp_path, count=5)
    bench.finish()
    batch = hook.run(hook.look([batch_id]))[batch_id]

    hook.download(batch, tmp_path / "results.jsonl")

    lines = (tmp_path / "results.jsonl").read_bytes().splitlines()
    results = [hook.parse(line) for line in lines]
    indexes = {index_of(msgspec.json.decode(line, type=Line).custom_id, job=JOB, round_=1) for line in lines}
    assert batch.status == "completed"
    assert indexes == set(range(5))
    assert all(result.status == "succeeded" and result.output for result in results)
    assert all(result.usage.input > 0 and result.usage.output > 0 for result in results)
    assert all(result.model for result in results)


# -- the whole way -----------------------------------------------------------------------------------------------


def test_a_table_goes_in_and_the_same_table_comes_out_in_order_with_answers(bench, tmp_path):
    bench.connect(max_requests=10)
    rows = [{"text": f"text {number}", "n": number} for number in range(25)]

    summary = bench.complete(lambda: bench.job(tmp_path, rows, out="out.csv", prompt="Say: {{ record.text }}"))

    with (tmp_path / "out.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["text"] for row in table] == [row["text"] for row in rows]
    assert [row["llm_index"] for row in table] == [str(number) for number in range(25)]
    assert {row["llm_status"] for row in table} == {"succeeded"}
    assert all(f"text {number}".upper() in row["llm_output"].upper() for number, row in enumerate(table))
    assert len(summary["batch_ids"]) == 3
    assert summary["counts"]["succeeded"] == summary["counts"]["total"] == 25


def test_another_step_after_the_last_writes_the_same_bytes_and_sends_nothing(bench, tmp_path):
    make = lambda: bench.job(tmp_path, ["one", "two"])  # noqa: E731
    first = bench.complete(make)
    before = (tmp_path / "out.jsonl").read_bytes()
    (tmp_path / "out.jsonl").unlink()

    second = bench.complete(make)

    assert (tmp_path / "out.jsonl").read_bytes() == before
    assert second == first


def test_a_job_goes_on_within_the_window_it_is_given(bench, tmp_path):
    bench.connect(max_requests=2)

    summary = bench.complete(
        lambda: bench.job(tmp_path, [f"text {number}" for number in range(7)], terms={"max_active_batches": 1})
    )

    assert summary["counts"]["succeeded"] == 7
    assert len(summary["batch_ids"]) == 4
