"""The life of an Anthropic batch, seen through the official SDK."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import timedelta
from typing import Any

import anthropic
import pytest
from anthropic.types.messages import DeletedMessageBatch, MessageBatch, MessageBatchIndividualResponse

from airflow_provider_llmbatch.emulator import Emulator
from tests.emulator.conftest import DAY, anthropic_batch, anthropic_rows, conform, message, raw

PATH = "/v1/messages/batches"


def test_a_batch_runs_and_ends(emulator: Emulator, ant: anthropic.Anthropic) -> None:
    before = time.time()
    batch = anthropic_batch(ant, 10)
    assert (batch.processing_status, batch.results_url, batch.ended_at) == ("in_progress", None, None)
    assert batch.expires_at - batch.created_at == timedelta(days=1)
    assert before - 0.001 <= batch.created_at.timestamp() <= time.time()
    emulator.advance(3_599)
    assert ant.messages.batches.retrieve(batch.id).processing_status == "in_progress"
    emulator.advance(1)
    batch = ant.messages.batches.retrieve(batch.id)

    assert batch.processing_status == "ended"
    assert batch.ended_at >= batch.created_at
    assert batch.results_url == f"{emulator.url}{PATH}/{batch.id}/results"
    assert batch.request_counts.model_dump() == {
        "processing": 0, "succeeded": 10, "errored": 0, "canceled": 0, "expired": 0,
    }  # fmt: skip
    assert sorted(anthropic_rows(ant, batch.id)) == sorted(f"row-{number}" for number in range(10))


def test_there_is_no_live_progress(emulator: Emulator, ant: anthropic.Anthropic) -> None:
    batch = anthropic_batch(ant, 10)
    emulator.advance(3_000)
    counts = ant.messages.batches.retrieve(batch.id).request_counts

    assert counts.model_dump() == {"processing": 10, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}


def test_the_results_url_points_at_whatever_host_was_asked(emulator: Emulator, ant: anthropic.Anthropic) -> None:
    batch = anthropic_batch(ant)
    emulator.advance(3_600)
    _, _, body = raw(emulator, "GET", f"{PATH}/{batch.id}", vendor="anthropic", host="gateway.local:99")

    assert json.loads(body)["results_url"] == f"http://gateway.local:99{PATH}/{batch.id}/results"


def test_results_are_lines_of_json_in_no_order(emulator: Emulator, ant: anthropic.Anthropic) -> None:
    batch = anthropic_batch(ant, 50)
    emulator.advance(3_600)
    status, headers, body = raw(emulator, "GET", f"{PATH}/{batch.id}/results", vendor="anthropic")

    assert (status, headers["content-type"].split(";")[0]) == (200, "application/x-jsonl")
    lines = [json.loads(line) for line in body.splitlines()]
    for line in lines:
        conform(MessageBatchIndividualResponse, line)
    ids = [line["custom_id"] for line in lines]
    assert ids != [f"row-{number}" for number in range(50)]
    assert {line["result"]["message"]["usage"]["service_tier"] for line in lines} == {"batch"}


def test_results_before_the_end_are_not_found(ant: anthropic.Anthropic, emulator: Emulator) -> None:
    batch = anthropic_batch(ant)

    assert raw(emulator, "GET", f"{PATH}/{batch.id}/results", vendor="anthropic")[0] == 404


def test_bad_params_fail_their_own_request_only(emulator: Emulator, ant: anthropic.Anthropic) -> None:
    batch = anthropic_batch(ant, [message("good"), message("bad", max_tokens=999_999)])
    emulator.advance(3_600)
    rows = anthropic_rows(ant, batch.id)

    assert rows["row-good"].type == "succeeded"
    assert rows["row-bad"].type == "errored"
    assert rows["row-bad"].error.error.type == "invalid_request_error"
    assert rows["row-bad"].error.error.message.startswith("max_tokens: 999999 is greater than the maximum allowed")
    assert rows["row-bad"].error.request_id.startswith("req_")
    counts = ant.messages.batches.retrieve(batch.id).request_counts
    assert (counts.succeeded, counts.errored) == (1, 1)
    assert emulator.bill()["total"]["requests_billed"] == 1


def test_a_batch_may_have_many_models(emulator: Emulator, ant: anthropic.Anthropic) -> None:
    batch = anthropic_batch(ant, [message(1), message(2, model="claude-opus-5-5"), message(3, model="claude-2")])
    emulator.advance(3_600)
    rows = anthropic_rows(ant, batch.id)

    assert rows["row-2"].message.model == "claude-opus-5-5"
    assert rows["row-3"].error.error.type == "not_found_error"


def test_a_cancelled_batch_keeps_what_was_done(emulator: Emulator, ant: anthropic.Anthropic) -> None:
    batch = anthropic_batch(ant, 10)
    emulator.advance(1_800)
    cancelled = ant.messages.batches.cancel(batch.id)
    assert cancelled.processing_status == "canceling"
    assert cancelled.cancel_initiated_at
    assert ant.messages.batches.cancel(batch.id).processing_status == "canceling"
    emulator.advance(600)
    batch = ant.messages.batches.retrieve(batch.id)

    assert batch.processing_status == "ended"
    assert (batch.request_counts.succeeded, batch.request_counts.canceled) == (5, 5)
    kinds = [row.type for row in anthropic_rows(ant, batch.id).values()]
    assert (kinds.count("succeeded"), kinds.count("canceled")) == (5, 5)
    assert emulator.bill()["total"]["requests_billed"] == 5


def test_when_the_window_closes_the_rest_expires(emulator: Emulator, ant: anthropic.Anthropic) -> None:
    emulator.set_options(batch_seconds=2 * DAY)
    batch = anthropic_batch(ant, 10)
    emulator.advance(DAY)
    batch = ant.messages.batches.retrieve(batch.id)

    assert batch.processing_status == "ended"
    assert (batch.request_counts.succeeded, batch.request_counts.expired) == (5, 5)
    assert batch.cancel_initiated_at is None


def test_only_what_has_ended_can_be_deleted_and_what_has_ended_not_cancelled(
    emulator: Emulator, ant: anthropic.Anthropic
) -> None:
    batch = anthropic_batch(ant)
    with pytest.raises(anthropic.ConflictError):
        ant.messages.batches.delete(batch.id)
    emulator.advance(3_600)
    with pytest.raises(anthropic.ConflictError):
        ant.messages.batches.cancel(batch.id)
    deleted = ant.messages.batches.delete(batch.id)

    conform(DeletedMessageBatch, deleted.model_dump())
    with pytest.raises(anthropic.NotFoundError):
        ant.messages.batches.retrieve(batch.id)
    assert list(ant.messages.batches.list()) == []
    [item] = emulator.bill()["batches"]
    assert (item["deleted"], item["requests_billed"]) == (True, 3)


def test_results_are_gone_after_29_days(emulator: Emulator, ant: anthropic.Anthropic) -> None:
    batch = anthropic_batch(ant)
    emulator.advance(29 * DAY)
    batch = ant.messages.batches.retrieve(batch.id)

    assert (batch.processing_status, batch.results_url) == ("ended", None)
    assert batch.archived_at
    assert raw(emulator, "GET", f"{PATH}/{batch.id}/results", vendor="anthropic")[0] == 404


def test_lists_are_newest_first_and_paged_both_ways(ant: anthropic.Anthropic) -> None:
    made = [anthropic_batch(ant, 1).id for _ in range(25)][::-1]

    first = ant.messages.batches.list()
    assert [batch.id for batch in first.data] == made[:20]
    assert (first.has_more, first.first_id, first.last_id) == (True, made[0], made[19])
    assert [batch.id for batch in ant.messages.batches.list(limit=3)] == made
    before = ant.messages.batches.list(limit=3, before_id=made[10])
    assert [batch.id for batch in before.data] == made[7:10]
    assert before.has_more
    assert not ant.messages.batches.list(limit=3, before_id=made[2]).has_more
    assert len(ant.messages.batches.list(limit=1_000).data) == 25


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "after_id=msgbatch_x", "after_id=a&before_id=b"])
def test_a_bad_page_is_refused(emulator: Emulator, query: str) -> None:
    status, _, body = raw(emulator, "GET", f"{PATH}?{query}", vendor="anthropic")

    assert status == 400
    assert json.loads(body)["error"]["type"] == "invalid_request_error"


def test_an_empty_list_has_the_documented_shape(emulator: Emulator) -> None:
    _, _, body = raw(emulator, "GET", PATH, vendor="anthropic")

    assert json.loads(body) == {"data": [], "has_more": False, "first_id": None, "last_id": None}


def test_every_batch_object_conforms_to_the_sdk(emulator: Emulator, ant: anthropic.Anthropic) -> None:
    batches = [anthropic_batch(ant, 2), anthropic_batch(ant, 2), anthropic_batch(ant, 2, fault="expire=0.5")]
    emulator.advance(1_000)
    ant.messages.batches.cancel(batches[0].id)
    for _ in range(4):
        for batch in batches:
            conform(MessageBatch, json.loads(raw(emulator, "GET", f"{PATH}/{batch.id}", vendor="anthropic")[2]))
        emulator.advance(DAY / 3)

    assert {ant.messages.batches.retrieve(batch.id).processing_status for batch in batches} == {"ended"}


def test_the_queue_holds_so_many_requests_and_is_released_at_the_end(
    emulator: Emulator, ant: anthropic.Anthropic
) -> None:
    emulator.set_options(queued_requests=5)
    anthropic_batch(ant, 3)
    with pytest.raises(anthropic.RateLimitError) as caught:
        anthropic_batch(ant, 3)
    assert caught.value.response.headers["retry-after"] == "60"
    assert anthropic_batch(ant, 2).processing_status == "in_progress"
    emulator.advance(3_600)

    assert anthropic_batch(ant, 5).processing_status == "in_progress"
    assert len(emulator.bill()["batches"]) == 3


def test_polling_counts_against_the_rate_limit(emulator: Emulator, ant: anthropic.Anthropic) -> None:
    emulator.set_options(batch_rpm=2)
    ant.messages.batches.list()
    ant.messages.batches.list()
    with pytest.raises(anthropic.RateLimitError) as caught:
        ant.messages.batches.list()
    assert 1 <= int(caught.value.response.headers["retry-after"]) <= 30
    emulator.advance(30)

    ant.messages.batches.list()


def test_the_async_client_sees_the_same(emulator: Emulator) -> None:
    async def go() -> list[Any]:
        async with anthropic.AsyncAnthropic(base_url=emulator.url, api_key="k", max_retries=0) as client:
            create = client.messages.batches.create
            batches = await asyncio.gather(*(create(requests=[message(1)]) for _ in range(10)))
            listed = [batch.id async for batch in client.messages.batches.list(limit=3)]
            assert sorted(listed) == sorted(batch.id for batch in batches)
            emulator.advance(3_600)
            return [line async for line in await client.messages.batches.results(batches[0].id)]

    assert len(asyncio.run(go())) == 1
