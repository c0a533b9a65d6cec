"""The life of an OpenAI batch, seen through the official SDK."""

from __future__ import annotations

import asyncio
import time

import openai
import pytest
from openai.types import Batch, FileObject
from openai.types.chat import ChatCompletion

from airflow_provider_llmbatch.emulator import Emulator
from tests.emulator.conftest import (
    CHAT,
    DAY,
    chat_body,
    conform,
    jsonl,
    openai_batch,
    openai_line,
    openai_rows,
    raw,
)


def test_a_batch_goes_through_every_phase(emulator: Emulator, oai: openai.OpenAI) -> None:
    batch = openai_batch(oai, 10, metadata={"run": "1"})
    seen = [batch]
    for _ in range(12):
        emulator.advance(360)
        seen.append(oai.batches.retrieve(batch.id))

    assert [batch.status for batch in seen] == ["validating"] + ["in_progress"] * 8 + ["finalizing"] + ["completed"] * 3
    counts = [batch.request_counts for batch in seen]
    assert [count and (count.total, count.completed) for count in counts] == [
        (0, 0), (10, 0), (10, 1), (10, 2), (10, 3), (10, 5), (10, 6), (10, 7), (10, 8), *[(10, 10)] * 4,
    ]  # fmt: skip
    assert seen[0].model is None
    assert seen[1].model == "gpt-6-luna"
    assert seen[-1].metadata == {"run": "1"}


def test_times_are_wall_times_in_order_and_the_promise_is_24_hours(emulator: Emulator, oai: openai.OpenAI) -> None:
    before = int(time.time())
    batch = openai_batch(oai)
    emulator.advance(3_600)
    batch = oai.batches.retrieve(batch.id)

    times = [batch.created_at, batch.in_progress_at, batch.finalizing_at, batch.completed_at]
    assert times == sorted(times)  # type: ignore[type-var]
    assert before <= batch.created_at <= (batch.completed_at or 0) <= int(time.time())
    assert batch.expires_at == batch.created_at + DAY


def test_results_are_in_the_output_file_once_each_and_not_in_order(emulator: Emulator, oai: openai.OpenAI) -> None:
    batch = openai_batch(oai, 50)
    emulator.advance(3_600)
    batch = oai.batches.retrieve(batch.id)

    rows = openai_rows(oai, batch.output_file_id)
    for row in rows:
        assert list(row) == ["id", "custom_id", "response", "error"]
        assert list(row["response"]) == ["status_code", "request_id", "body"]
        conform(ChatCompletion, row["response"]["body"])
    ids = [row["custom_id"] for row in rows]
    assert sorted(ids) == sorted(f"row-{number}" for number in range(50))
    assert ids != [f"row-{number}" for number in range(50)]
    assert batch.error_file_id is None
    output = oai.files.retrieve(batch.output_file_id or "")
    assert output.purpose == "batch_output"
    assert output.bytes == len(oai.files.content(output.id).content)


def test_failed_requests_are_in_the_error_file(emulator: Emulator, oai: openai.OpenAI) -> None:
    bad = openai_line("bad", chat_body(temperature=999))
    batch = openai_batch(oai, [openai_line(1), bad])
    emulator.advance(3_600)
    batch = oai.batches.retrieve(batch.id)

    [row] = openai_rows(oai, batch.error_file_id)
    assert row["custom_id"] == "row-bad"
    assert row["error"] is None
    assert row["response"]["status_code"] == 400
    assert row["response"]["body"]["error"]["code"] == "unsupported_value"
    assert batch.request_counts
    assert batch.request_counts.model_dump() == {"total": 2, "completed": 1, "failed": 1}


def test_completed_with_nothing_but_failures_has_no_output_file(emulator: Emulator, oai: openai.OpenAI) -> None:
    batch = openai_batch(oai, [openai_line(1, chat_body(temperature=999))])
    emulator.advance(3_600)
    batch = oai.batches.retrieve(batch.id)

    assert batch.status == "completed"
    assert batch.output_file_id is None
    assert batch.error_file_id


def test_a_missing_error_file_may_be_an_empty_string(emulator: Emulator, oai: openai.OpenAI) -> None:
    emulator.set_options(empty_error_file_id=True)
    batch = openai_batch(oai)
    emulator.advance(3_600)

    assert oai.batches.retrieve(batch.id).error_file_id == ""


def test_usage_of_the_batch_is_the_sum_of_its_lines(emulator: Emulator, oai: openai.OpenAI) -> None:
    emulator.set_options(reasoning_tokens=7)
    batch = openai_batch(oai, 20)
    emulator.advance(3_600)
    batch = oai.batches.retrieve(batch.id)

    usages = [row["response"]["body"]["usage"] for row in openai_rows(oai, batch.output_file_id)]
    assert batch.usage
    assert batch.usage.input_tokens == sum(usage["prompt_tokens"] for usage in usages) > 0
    assert batch.usage.output_tokens == sum(usage["completion_tokens"] for usage in usages)
    assert batch.usage.output_tokens_details.reasoning_tokens == 20 * 7
    assert batch.usage.total_tokens == batch.usage.input_tokens + batch.usage.output_tokens
    assert emulator.bill()["batches"][0]["tokens"]["output"] == batch.usage.output_tokens


def test_a_cancelled_batch_keeps_what_was_done(emulator: Emulator, oai: openai.OpenAI) -> None:
    batch = openai_batch(oai, 10)
    emulator.advance(1_800)
    assert oai.batches.cancel(batch.id).status == "cancelling"
    assert oai.batches.cancel(batch.id).status == "cancelling"
    emulator.advance(599)
    assert oai.batches.retrieve(batch.id).status == "cancelling"
    emulator.advance(1)
    batch = oai.batches.retrieve(batch.id)

    assert batch.status == "cancelled"
    assert batch.cancelling_at
    assert batch.cancelled_at
    assert len(openai_rows(oai, batch.output_file_id)) == 5
    left = openai_rows(oai, batch.error_file_id)
    assert {row["error"]["code"] for row in left} == {"batch_cancelled"}
    assert all(row["response"] is None for row in left)
    assert len(left) == 5
    assert batch.request_counts
    assert batch.request_counts.completed == 5
    assert emulator.bill()["total"]["requests_billed"] == 5


def test_a_cancel_while_validating_runs_nothing(emulator: Emulator, oai: openai.OpenAI) -> None:
    batch = openai_batch(oai)
    oai.batches.cancel(batch.id)
    emulator.advance(600)
    batch = oai.batches.retrieve(batch.id)

    assert (batch.status, batch.output_file_id, batch.in_progress_at) == ("cancelled", None, None)
    assert len(openai_rows(oai, batch.error_file_id)) == 3


def test_what_has_ended_cannot_be_cancelled(emulator: Emulator, oai: openai.OpenAI) -> None:
    batch = openai_batch(oai)
    emulator.advance(3_600)

    with pytest.raises(openai.ConflictError):
        oai.batches.cancel(batch.id)


def test_when_the_window_closes_the_rest_expires(emulator: Emulator, oai: openai.OpenAI) -> None:
    emulator.set_options(batch_seconds=10 * DAY / 4.5)
    batch = openai_batch(oai, 10)
    emulator.advance(DAY - 1)
    assert oai.batches.retrieve(batch.id).status == "in_progress"
    emulator.advance(1)
    batch = oai.batches.retrieve(batch.id)

    assert batch.status == "expired"
    assert batch.expired_at
    done, left = openai_rows(oai, batch.output_file_id), openai_rows(oai, batch.error_file_id)
    assert (len(done), len(left)) == (4, 6)
    assert {row["error"]["code"] for row in left} == {"batch_expired"}
    assert batch.request_counts
    assert batch.request_counts.model_dump() == {"total": 10, "completed": 4, "failed": 0}


def test_lists_are_newest_first_and_paged_by_cursor(emulator: Emulator, oai: openai.OpenAI) -> None:
    file = oai.files.create(file=("requests.jsonl", jsonl([openai_line(1)])), purpose="batch")
    made = [
        oai.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h").id for _ in range(25)
    ]  # fmt: skip
    first = oai.batches.list()
    assert [batch.id for batch in first.data] == made[:4:-1]
    assert first.has_more
    assert [batch.id for batch in oai.batches.list(limit=3)] == made[::-1]
    status, _, body = raw(emulator, "GET", f"/v1/batches?limit=2&after={made[1]}")
    assert status == 200
    assert b'"has_more":false' in body
    assert made[0].encode() in body


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "after=batch_nowhere"])
def test_a_bad_page_is_refused(emulator: Emulator, query: str) -> None:
    assert raw(emulator, "GET", f"/v1/batches?{query}")[0] == 400


def test_an_empty_list_has_the_documented_shape(emulator: Emulator) -> None:
    _, _, body = raw(emulator, "GET", "/v1/batches")

    assert body == b'{"object":"list","data":[],"first_id":null,"last_id":null,"has_more":false}'


def test_every_batch_object_conforms_to_the_sdk(emulator: Emulator, oai: openai.OpenAI) -> None:
    kinds = [openai_batch(oai), openai_batch(oai, [b"{"]), openai_batch(oai, 2, fault="expire=0.5")]
    kinds.append(openai_batch(oai, 2))
    emulator.advance(1_000)
    oai.batches.cancel(kinds[-1].id)
    for _ in range(4):
        for batch in kinds:
            document = oai.batches.with_raw_response.retrieve(batch.id).http_response.json()
            conform(Batch, document)
        emulator.advance(DAY / 3)

    assert {oai.batches.retrieve(batch.id).status for batch in kinds} == {
        "completed", "failed", "expired", "cancelled",
    }  # fmt: skip
    for file in oai.files.list():
        conform(FileObject, file.model_dump())


def test_an_unknown_batch_is_not_found(oai: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="No batch found with id 'batch_x'"):
        oai.batches.retrieve("batch_x")


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        pytest.param({"endpoint": None}, "missing_required_parameter", "endpoint", id="no endpoint"),
        pytest.param({"endpoint": "/v1/audio"}, "invalid_value", "endpoint", id="unknown endpoint"),
        pytest.param({"endpoint": "/v1/videos"}, "invalid_value", "endpoint", id="an endpoint we cannot play"),
        pytest.param({"completion_window": "1h"}, "invalid_value", "completion_window", id="another window"),
        pytest.param({"metadata": {"a": 1}}, "invalid_type", "metadata.a", id="metadata that is no text"),
        pytest.param({"metadata": {"k" * 65: "v"}}, "string_above_max_length", "metadata", id="a long key"),
        pytest.param({"metadata": {"k": "v" * 513}}, "string_above_max_length", "metadata.k", id="a long value"),
        pytest.param(
            {"metadata": {str(n): "v" for n in range(17)}}, "object_above_max_properties", "metadata", id="17 pairs"
        ),
        pytest.param({"colour": "red"}, "unknown_parameter", "colour", id="a stranger"),
        pytest.param(
            {"output_expires_after": {"anchor": "created_at", "seconds": 60}},
            "invalid_value", "output_expires_after.seconds", id="too short a life",
        ),
    ],
)  # fmt: skip
def test_a_bad_create_call_is_refused_at_once(
    emulator: Emulator, oai: openai.OpenAI, change: dict[str, object], code: str, param: str
) -> None:
    file = oai.files.create(file=("requests.jsonl", b"{}"), purpose="batch")
    body = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h", **change}
    with pytest.raises(openai.BadRequestError) as caught:
        oai.post("/batches", body={k: v for k, v in body.items() if v is not None}, cast_to=object)

    assert (caught.value.code, caught.value.param) == (code, param)
    assert emulator.bill()["batches"] == []


def test_a_file_that_is_not_there_is_a_400(oai: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="Cannot find file file-x, or project"):
        oai.batches.create(input_file_id="file-x", endpoint=CHAT, completion_window="24h")


def test_the_input_file_may_be_deleted_while_the_batch_runs(emulator: Emulator, oai: openai.OpenAI) -> None:
    batch = openai_batch(oai)
    oai.files.delete(batch.input_file_id)
    emulator.advance(3_600)

    assert oai.batches.retrieve(batch.id).status == "completed"


def test_output_files_live_as_long_as_asked(emulator: Emulator, oai: openai.OpenAI) -> None:
    batch = openai_batch(oai, output_expires_after={"anchor": "created_at", "seconds": 7_200})
    emulator.advance(3_600)
    file_id = oai.batches.retrieve(batch.id).output_file_id or ""
    assert oai.files.retrieve(file_id).expires_at
    emulator.advance(7_200)

    with pytest.raises(openai.NotFoundError):
        oai.files.content(file_id)


def test_more_batches_than_an_hour_allows_are_refused(emulator: Emulator, oai: openai.OpenAI) -> None:
    emulator.set_options(batches_per_hour=2)
    openai_batch(oai)
    openai_batch(oai)
    with pytest.raises(openai.RateLimitError) as caught:
        openai_batch(oai)
    assert int(caught.value.response.headers["retry-after"]) > 3_000
    emulator.advance(3_601)

    assert openai_batch(oai).status == "validating"


def test_the_async_client_sees_the_same(emulator: Emulator) -> None:
    async def go() -> list[str]:
        async with openai.AsyncOpenAI(base_url=emulator.openai_url, api_key="k", max_retries=0) as client:
            file = await client.files.create(file=("a.jsonl", jsonl([openai_line(1)])), purpose="batch")
            batches = await asyncio.gather(
                *(
                    client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
                    for _ in range(20)
                )
            )
            listed = [batch.id async for batch in client.batches.list(limit=7)]
            assert sorted(listed) == sorted(batch.id for batch in batches)
            emulator.advance(3_600)
            ended = await client.batches.retrieve(batches[0].id)
            content = await client.files.content(ended.output_file_id or "")
            return content.text.splitlines()

    assert len(asyncio.run(go())) == 1
