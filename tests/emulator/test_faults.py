"""Faults of calls: which are struck, and what happens to them."""

from __future__ import annotations

import time
from typing import Any

import anthropic
import openai
import pytest

from airflow_provider_llmbatch.emulator import Emulator
from airflow_provider_llmbatch.emulator.faults import Fault, Faults, parse_fault
from tests.emulator.conftest import anthropic_batch, jsonl, openai_batch, openai_line, raw

GET = "/v1/models"


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ("openai.batches.create status=429 retry_after=2 times=1",
         Fault(calls="openai.batches.create", status=429, retry_after=2.0, times=1)),
        ("*.batches.create row=server_error rate=0.1 once",
         Fault(calls="*.batches.create", row="server_error", rate=0.1, once=True)),
        ("reset_after", Fault(reset_after=True)),
        ("* message='two words'", Fault(message="two words")),
        ("row=missing index=1,7", Fault(row="missing", index=[1, 7])),
        ('{"calls": "a.*", "cut": 5}', Fault(calls="a.*", cut=5)),
        ({"hang": 1}, Fault(hang=1.0)),
    ],
)  # fmt: skip
def test_a_fault_can_be_written_as_text_or_as_json(spec: Any, fault: Fault) -> None:
    assert parse_fault(spec) == fault


@pytest.mark.parametrize(
    "spec", ["explode", "status=x", "stuck=somewhere", "row=missing", '{"cut": "far"}', {"nothing": 1}]
)
def test_a_bad_fault_is_refused_with_its_text(spec: Any) -> None:
    with pytest.raises(ValueError, match="Bad fault"):
        parse_fault(spec)


def test_skip_times_and_probability_choose_the_calls() -> None:
    def struck(spec: str, calls: int, seed: int = 0) -> list[int]:
        faults = Faults(seed, [spec])
        return [number for number in range(calls) if faults.strike("openai.batches.list", (), None)]

    assert struck("openai.* status=500", 3) == [0, 1, 2]
    assert struck("anthropic.* status=500", 3) == []
    assert struck("*.list status=500 skip=1 times=2", 5) == [1, 2]
    some = struck("* status=500 probability=0.5", 100)
    assert 30 < len(some) < 70
    assert some == struck("* status=500 probability=0.5", 100) != struck("* status=500 probability=0.5", 100, seed=1)


def test_a_fault_may_be_for_one_batch_alone(emulator: Emulator, oai: openai.OpenAI) -> None:
    first, second = openai_batch(oai), openai_batch(oai)
    emulator.fault("openai.batches.retrieve", id=first.id, status=503)

    with pytest.raises(openai.InternalServerError):
        oai.batches.retrieve(first.id)
    assert oai.batches.retrieve(second.id).id == second.id


def test_a_status_comes_in_the_vendors_envelope(
    emulator: Emulator, oai: openai.OpenAI, ant: anthropic.Anthropic
) -> None:
    emulator.fault("openai.*", status=429, retry_after=7, code="insufficient_quota", message="No money.")
    with pytest.raises(openai.RateLimitError, match="No money") as ours:
        oai.models.list()
    assert (ours.value.code, ours.value.type) == ("insufficient_quota", "insufficient_quota")
    assert ours.value.response.headers["retry-after"] == "7"

    emulator.fault("anthropic.*", status=529)
    with pytest.raises(anthropic.APIStatusError) as theirs:
        ant.messages.batches.list()
    assert (theirs.value.status_code, theirs.value.type) == (529, "overloaded_error")
    emulator.clear_faults()
    emulator.fault("anthropic.*", status=429, details="enforced_spend_limit_reached")
    with pytest.raises(anthropic.RateLimitError) as spent:
        ant.messages.batches.list()
    assert spent.value.body["error"]["details"] == {"error_code": "enforced_spend_limit_reached"}  # type: ignore[index]


def test_a_header_strikes_one_call_only(emulator: Emulator) -> None:
    assert raw(emulator, "GET", GET, x_emulator_fault="status=418")[0] == 418
    assert raw(emulator, "GET", GET, x_emulator_fault='{"status": 503}')[0] == 503
    assert raw(emulator, "GET", GET)[0] == 200
    status, _, body = raw(emulator, "GET", GET, x_emulator_fault="explode")
    assert (status, b"Bad fault" in body) == (400, True)


def test_a_reset_before_leaves_nothing_behind(emulator: Emulator, oai: openai.OpenAI) -> None:
    file = oai.files.create(file=("a.jsonl", jsonl([openai_line(1)])), purpose="batch")
    emulator.fault("openai.batches.create", reset_before=True)
    with pytest.raises(openai.APIConnectionError):
        oai.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")

    assert emulator.bill()["batches"] == []


def test_a_reset_after_leaves_a_batch_that_nobody_was_told_of(
    emulator: Emulator, oai: openai.OpenAI, ant: anthropic.Anthropic
) -> None:
    emulator.fault("*.batches.create", reset_after=True)
    with pytest.raises(openai.APIConnectionError):
        openai_batch(oai, metadata={"key": "value"})
    with pytest.raises(anthropic.APIConnectionError):
        anthropic_batch(ant)

    assert [item["metadata"] for item in emulator.bill()["batches"]] == [{"key": "value"}, None]
    assert [batch.metadata for batch in oai.batches.list()] == [{"key": "value"}]
    creates = emulator.calls("openai.batches.create")
    assert [(call["status"], call["fault"]) for call in creates] == [(None, "reset_after")]


def test_an_answer_that_hangs_was_processed(emulator: Emulator) -> None:
    client = openai.OpenAI(base_url=emulator.openai_url, api_key="k", max_retries=0, timeout=1)
    emulator.fault("openai.batches.create", hang=1.5)
    with pytest.raises(openai.APITimeoutError):
        openai_batch(client)

    assert len(emulator.bill()["batches"]) == 1


def test_a_client_that_gives_up_before_the_processing_is_not_served(emulator: Emulator) -> None:
    client = openai.OpenAI(base_url=emulator.openai_url, api_key="k", max_retries=0, timeout=1)
    emulator.fault("openai.batches.create", hang_before=1.5)
    with pytest.raises(openai.APITimeoutError):
        openai_batch(client)
    while emulator.calls("openai.batches.create")[0]["status"] is None:
        time.sleep(0.05)

    assert emulator.calls("openai.batches.create")[0]["status"] == 499
    assert emulator.bill()["batches"] == []


@pytest.mark.parametrize("size", [0, 1, 100])
def test_a_cut_answer_ends_after_exactly_so_many_bytes(emulator: Emulator, oai: openai.OpenAI, size: int) -> None:
    file = oai.files.create(file=("a.jsonl", b"x" * 300_000), purpose="batch")
    emulator.fault("openai.files.content", cut=size, times=1)
    received = bytearray()

    def download() -> None:
        with oai.files.with_streaming_response.content(file.id) as response:
            for piece in response.iter_bytes():
                received.extend(piece)

    with pytest.raises(Exception, match=r"incomplete|peer closed"):
        download()
    assert len(received) == size
    assert len(oai.files.content(file.id).content) == 300_000


def test_cut_results_are_noticed(emulator: Emulator, ant: anthropic.Anthropic) -> None:
    batch = anthropic_batch(ant, 20)
    emulator.advance(3_600)
    emulator.fault("anthropic.batches.results", cut=2_000, times=1)
    with pytest.raises(Exception, match=r"incomplete|peer closed|Connection error|JSON|Expecting|EOF|end of data"):
        list(ant.messages.batches.results(batch.id))

    assert len(list(ant.messages.batches.results(batch.id))) == 20


def test_a_garbled_answer_has_its_length_and_not_its_bytes(emulator: Emulator, oai: openai.OpenAI) -> None:
    file = oai.files.create(file=("a.jsonl", b"x" * 500), purpose="batch")
    path = f"/v1/files/{file.id}/content"
    _, _, body = raw(emulator, "GET", path, x_emulator_fault="garble")

    assert len(body) == 500
    assert [at for at, byte in enumerate(body) if byte != ord("x")] == [10, 107, 204, 301, 398, 495]


def test_a_new_batch_may_be_missing_from_lists_for_a_while(
    emulator: Emulator, oai: openai.OpenAI, ant: anthropic.Anthropic
) -> None:
    emulator.fault("*.batches.create", list_lag=60)
    ours, theirs = openai_batch(oai), anthropic_batch(ant)
    assert oai.batches.retrieve(ours.id).id == ours.id
    assert (list(oai.batches.list()), list(ant.messages.batches.list())) == ([], [])
    emulator.advance(60)

    assert [batch.id for batch in oai.batches.list()] == [ours.id]
    assert [batch.id for batch in ant.messages.batches.list()] == [theirs.id]


def test_a_new_batch_or_file_may_be_unknown_for_a_while(
    emulator: Emulator, oai: openai.OpenAI, ant: anthropic.Anthropic
) -> None:
    emulator.fault("*.create", retrieve_lag=60)
    theirs = anthropic_batch(ant)
    with pytest.raises(anthropic.NotFoundError):
        ant.messages.batches.retrieve(theirs.id)
    with pytest.raises(openai.BadRequestError, match="Cannot find file"):
        openai_batch(oai)
    emulator.advance(60)

    assert ant.messages.batches.retrieve(theirs.id).id == theirs.id
    [file] = oai.files.list()
    assert oai.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")


@pytest.mark.parametrize("status", ["validating", "in_progress", "finalizing"])
def test_a_stuck_batch_stays_where_it_is(emulator: Emulator, oai: openai.OpenAI, status: str) -> None:
    batch = openai_batch(oai, fault=f"stuck={status}")
    emulator.advance(10 * 86_400)
    assert oai.batches.retrieve(batch.id).status == status
    oai.batches.cancel(batch.id)
    emulator.advance(600)

    assert oai.batches.retrieve(batch.id).status == "cancelled"


def test_a_cancel_may_be_stuck_too(emulator: Emulator, oai: openai.OpenAI, ant: anthropic.Anthropic) -> None:
    ours, theirs = openai_batch(oai, fault="stuck=cancelling"), anthropic_batch(ant, fault="stuck=canceling")
    oai.batches.cancel(ours.id)
    ant.messages.batches.cancel(theirs.id)
    emulator.advance(10 * 86_400)

    assert oai.batches.retrieve(ours.id).status == "cancelling"
    assert ant.messages.batches.retrieve(theirs.id).processing_status == "canceling"


def test_an_anthropic_batch_may_be_stuck(emulator: Emulator, ant: anthropic.Anthropic) -> None:
    batch = anthropic_batch(ant, fault="stuck=in_progress")
    emulator.advance(10 * 86_400)

    assert ant.messages.batches.retrieve(batch.id).processing_status == "in_progress"


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_batch_may_expire_with_a_share_of_its_work_done(
    emulator: Emulator, oai: openai.OpenAI, ant: anthropic.Anthropic, share: float
) -> None:
    ours, theirs = openai_batch(oai, 10, fault=f"expire={share}"), anthropic_batch(ant, 10, fault=f"expire={share}")
    emulator.advance(80_000)
    assert oai.batches.retrieve(ours.id).status == "in_progress"
    emulator.advance(6_400)

    counts = oai.batches.retrieve(ours.id).request_counts
    assert oai.batches.retrieve(ours.id).status == "expired"
    assert counts
    assert (counts.completed, counts.total) == (int(10 * share + 1e-9), 10)
    ended = ant.messages.batches.retrieve(theirs.id).request_counts
    assert (ended.succeeded, ended.expired) == (int(10 * share + 1e-9), 10 - int(10 * share + 1e-9))


def test_a_batch_may_lie_about_its_counts_and_its_files(emulator: Emulator, oai: openai.OpenAI) -> None:
    batch = openai_batch(oai, 4, fault="lying_counts no_output_file empty_error_file_id")
    emulator.advance(3_600)
    batch = oai.batches.retrieve(batch.id)

    assert (batch.status, batch.output_file_id, batch.error_file_id) == ("completed", None, "")
    assert batch.request_counts
    assert batch.request_counts.completed == 4
    assert emulator.bill()["total"]["requests_billed"] == 4


def test_a_batch_may_fail_with_any_code(emulator: Emulator, oai: openai.OpenAI) -> None:
    batch = openai_batch(oai, fault="fail=billing_hard_limit_reached")
    emulator.advance(3_600)
    batch = oai.batches.retrieve(batch.id)

    assert batch.status == "failed"
    assert batch.errors
    assert [error.code for error in batch.errors.data or []] == ["billing_hard_limit_reached"]


def test_the_control_route_tells_what_is_on_and_how_often_it_struck(emulator: Emulator) -> None:
    number = emulator.fault("openai.models.list", status=500, times=1)
    raw(emulator, "GET", GET)
    _, _, body = raw(emulator, "GET", "/_emulator/faults")
    assert f'"number":{number},"struck":1'.encode() in body

    with pytest.raises(ValueError, match="explode"):
        emulator.fault("*", explode=True)
    status, _, _ = raw(
        emulator, "POST", "/_emulator/faults", ["openai.models.list status=418", {"calls": "x", "cut": 1}]
    )
    assert status == 200
    assert raw(emulator, "GET", GET)[0] == 418
