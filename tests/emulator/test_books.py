"""The bill and the log of calls: what the crash tests judge by."""

from __future__ import annotations

import hashlib
import json

import anthropic
import openai
import pytest

from airflow_provider_llmbatch.emulator import Emulator
from tests.emulator.conftest import anthropic_batch, jsonl, message, openai_batch, openai_line, raw


def test_the_bill_knows_the_bytes_of_every_batch(
    emulator: Emulator, oai: openai.OpenAI, ant: anthropic.Anthropic
) -> None:
    lines = [openai_line(1), openai_line(2)]
    ours = openai_batch(oai, lines, metadata={"key": "value"})
    items = [json.dumps(message(n), indent=1).encode() for n in range(3)]
    body = b'{ "requests" : [\n' + b" ,\n".join(items) + b"]}"
    status, _, _ = raw(emulator, "POST", "/v1/messages/batches", body, vendor="anthropic")
    assert status == 200
    emulator.advance(3_600)
    first, second = emulator.bill()["batches"]

    assert (first["id"], first["vendor"], first["metadata"]) == (ours.id, "openai", {"key": "value"})
    assert first["sha256"] == hashlib.sha256(jsonl(lines)).hexdigest()
    assert second["sha256"] == hashlib.sha256(b"".join(item + b"\n" for item in items)).hexdigest()
    assert [(item["requests"], item["requests_billed"], item["status"]) for item in (first, second)] == [
        (2, 2, "completed"),
        (3, 3, "ended"),
    ]
    assert int(first["created_at"]) == ours.created_at


def test_the_bill_adds_up(emulator: Emulator, oai: openai.OpenAI, ant: anthropic.Anthropic) -> None:
    for count in (1, 2):
        openai_batch(oai, count)
        anthropic_batch(ant, count + 2)
    emulator.advance(3_600)
    bill = emulator.bill()

    for vendor, count in (("openai", 3), ("anthropic", 7)):
        mine = [item for item in bill["batches"] if item["vendor"] == vendor]
        sums = bill["by_vendor"][vendor]
        assert (sums["batches"], sums["requests"], sums["requests_billed"]) == (2, count, count)
        for kind in ("input", "output"):
            assert sums["tokens"][kind] == sum(item["tokens"][kind] for item in mine) > 0
    assert bill["total"]["requests_billed"] == 10
    assert bill["total"]["tokens"]["input"] == sum(item["tokens"]["input"] for item in bill["batches"])


def test_a_batch_that_runs_has_cost_nothing_yet(emulator: Emulator, oai: openai.OpenAI) -> None:
    openai_batch(oai)
    emulator.advance(1_800)
    [item] = emulator.bill()["batches"]

    assert (item["status"], item["requests_billed"], item["tokens"]["input"]) == ("in_progress", 0, 0)


def test_calls_are_logged_in_order_with_their_outcome(emulator: Emulator, oai: openai.OpenAI) -> None:
    openai_batch(oai)
    with pytest.raises(openai.NotFoundError):
        oai.batches.retrieve("batch_x")
    calls = emulator.calls()

    assert [(call["operation"], call["status"]) for call in calls] == [
        ("openai.files.create", 200),
        ("openai.batches.create", 200),
        ("openai.batches.retrieve", 404),
    ]
    assert [call["number"] for call in calls] == [1, 2, 3]
    assert calls[0]["request_bytes"] > calls[1]["request_bytes"] > calls[2]["request_bytes"] == 0
    assert all(call["seconds"] >= 0 and call["request_id"].startswith("req_") for call in calls)
    assert emulator.counts() == {
        "openai.files.create": 1, "openai.batches.create": 1, "openai.batches.retrieve": 1,
    }  # fmt: skip
    assert emulator.calls("openai.batches.create") == calls[1:2]
    _, _, later = raw(emulator, "GET", "/_emulator/calls?since=2")
    assert json.loads(later)["calls"] == calls[2:]


def test_control_calls_are_not_in_the_books(emulator: Emulator) -> None:
    emulator.bill()
    status, _, body = raw(emulator, "GET", "/_emulator/health", authorization="")

    assert (status, json.loads(body)["status"]) == (200, "ok")
    assert emulator.calls() == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/_emulator/clock", {"advance": -1}),
        ("POST", "/_emulator/clock", b"{"),
        ("POST", "/_emulator/options", {"colour": "red"}),
        ("POST", "/_emulator/options", {"speed": "fast"}),
        ("POST", "/_emulator/options", {"speed": -1}),
        ("GET", "/_emulator/calls?since=x", None),
        ("GET", "/_emulator/nothing", None),
    ],
)
def test_a_mistake_in_a_control_call_is_explained(emulator: Emulator, method: str, path: str, body: object) -> None:
    status, _, answer = raw(emulator, method, path, body)

    assert status in (400, 404)
    assert json.loads(answer)["error"]


def test_a_reset_forgets_everything_but_the_options(emulator: Emulator, oai: openai.OpenAI) -> None:
    emulator.set_options(batch_seconds=100)
    openai_batch(oai)
    emulator.fault("openai.*", status=500)
    emulator.reset()

    assert emulator.bill()["batches"] == []
    assert emulator.calls() == []
    assert list(oai.files.list()) == []
    batch = openai_batch(oai)
    emulator.advance(100)
    assert oai.batches.retrieve(batch.id).status == "completed"


def test_the_same_seed_makes_the_same_world(emulator: Emulator, oai: openai.OpenAI, ant: anthropic.Anthropic) -> None:
    def world(seed: int) -> tuple[object, ...]:
        emulator.set_options(seed=seed)
        emulator.reset()
        ours = openai_batch(oai, 5, fault="row=server_error rate=0.5")
        theirs = anthropic_batch(ant, 5)
        emulator.advance(3_600)
        ended = oai.batches.retrieve(ours.id)
        rows = raw(emulator, "GET", f"/v1/messages/batches/{theirs.id}/results", vendor="anthropic")[2]
        failed = oai.files.content(ended.error_file_id).content if ended.error_file_id else b""
        return ended.input_file_id, ended.id, ended.output_file_id, theirs.id, rows, failed

    assert world(1) == world(1)
    assert world(1) != world(2)
