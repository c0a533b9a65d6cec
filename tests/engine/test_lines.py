"""Any lines, in any order, whole or damaged: every record has one row, every request one verdict, every line a count.

Two shards, so that the lines of one are foreign in the file of the other. No network: results are put in place as a
download would put them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_provider_llmbatch.core.batches import Batch
from airflow_provider_llmbatch.core.manifest import Tally
from airflow_provider_llmbatch.core.requests import custom_id
from airflow_provider_llmbatch.core.results import STATUSES
from airflow_provider_llmbatch.engine.finish import finish
from airflow_provider_llmbatch.engine.job import Job
from airflow_provider_llmbatch.engine.landing import land as land_shard
from airflow_provider_llmbatch.engine.prepare import prepare_first
from airflow_provider_llmbatch.exceptions import IncompleteError
from tests.bench import MODELS, Bench

SHARD = 3
RECORDS = 2 * SHARD
BREAKS = "one\u2028two\u2029three\x85four\x0b\x0c\x1cfive"
"""What some readers take for the end of a line. It is data."""


class Shape(NamedTuple):
    """A vendor's line for one request: what it means, and how it looks but for its custom id."""

    status: str
    make: Callable[[str], Mapping[str, Any]]
    keeps_refusal: bool = False


def _openai(body: Any, status: int = 200) -> dict[str, Any]:
    return {
        "id": "batch_req_1",
        "response": {"status_code": status, "request_id": "req_1", "body": body},
        "error": None,
    }


def _openai_chat(message: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}
    choice = {"index": 0, "message": {"role": "assistant", **message}, "logprobs": None, "finish_reason": "stop"}
    body = {"id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-6-luna-2026-10-01", "usage": usage}
    return _openai(body | {"choices": [choice]})


def _openai_response(text: str) -> dict[str, Any]:
    parts = [{"type": "output_text", "text": text, "annotations": []}]
    output = [{"type": "reasoning", "summary": []}, {"type": "message", "role": "assistant", "content": parts}]
    usage = {"input_tokens": 20, "output_tokens": 3, "output_tokens_details": {"reasoning_tokens": 2}}
    return _openai(
        {"object": "response", "status": "completed", "model": "gpt-6-sol", "output": output, "usage": usage}
    )


def _openai_error(status: int, text: str, type_: str, code: str | None = None) -> dict[str, Any]:
    return _openai({"error": {"message": text, "type": type_, "param": None, "code": code}}, status)


def _openai_unasked(text: str, code: str) -> dict[str, Any]:
    return {"id": "batch_req_1", "response": None, "error": {"code": code, "message": text}}


def _anthropic(reason: str, content: list[Any]) -> dict[str, Any]:
    usage = {"input_tokens": 21, "cache_read_input_tokens": 5, "output_tokens": 4, "service_tier": "batch"}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-5-5", "usage": usage}
    return {"result": {"type": "succeeded", "message": message | {"stop_reason": reason, "content": content}}}


def _anthropic_error(type_: str, text: str) -> dict[str, Any]:
    error = {"type": "error", "error": {"type": type_, "message": text}, "request_id": None}
    return {"result": {"type": "errored", "error": error}}


SHAPES: dict[str, dict[str, Shape]] = {
    "openai": {
        "good": Shape("succeeded", lambda text: _openai_chat({"content": text, "refusal": None})),
        "good too": Shape("succeeded", _openai_response),
        "refused": Shape("errored", lambda text: _openai_chat({"content": None, "refusal": text or "No."}), True),
        "wrong": Shape("errored", lambda text: _openai_error(400, text, "invalid_request_error")),
        "failed": Shape("errored", lambda text: _openai_error(500, text, "server_error")),
        "expired": Shape("expired", lambda text: _openai_unasked(text, "batch_expired")),
        "cancelled": Shape("cancelled", lambda text: _openai_unasked(text, "batch_cancelled")),
        "empty": Shape("errored", lambda text: _openai({})),
        "void": Shape("errored", lambda text: _openai(None, 0)),
        "senseless": Shape("errored", lambda text: {"response": [text, 5]}),
    },
    "anthropic": {
        "good": Shape("succeeded", lambda text: _anthropic("end_turn", [{"type": "text", "text": text}])),
        "good too": Shape(
            "succeeded",
            lambda text: _anthropic("stop_sequence", [{"type": "thinking"}, {"type": "text", "text": text}]),
        ),
        "refused": Shape("errored", lambda text: _anthropic("refusal", [])),
        "wrong": Shape("errored", lambda text: _anthropic_error("invalid_request_error", text)),
        "failed": Shape("errored", lambda text: _anthropic_error("api_error", text)),
        "expired": Shape("expired", lambda text: {"result": {"type": "expired"}}),
        "cancelled": Shape("cancelled", lambda text: {"result": {"type": "canceled"}}),
        "empty": Shape("errored", lambda text: {}),
        "void": Shape("errored", lambda text: {"result": {"type": "errored", "error": None}}),
        "senseless": Shape("errored", lambda text: {"result": [text, 5]}),
    },
}
"""FACTS and the SDKs' models; the last three are lines that make no sense, and are bad rows all the same."""

FOREIGN: dict[str, Callable[[str, int], str]] = {
    "of another job": lambda job, index: custom_id("0123456789", 1, index),
    "of another round": lambda job, index: custom_id(job, 2, index),
    "of no job": lambda job, index: f"request-{index}",
    "of no record": lambda job, index: custom_id(job, 1, 10**20 + index),
    "with zeros": lambda job, index: f"{job}-1-00{index}",
    "in other digits": lambda job, index: f"{job}-1-{chr(0x0660 + index)}",
    "negative": lambda job, index: custom_id(job, 1, -1 - index),
    "nameless": lambda job, index: "",
}
"""Custom ids that are nobody's here."""

DAMAGED: dict[str, Callable[[bytes, str], bytes]] = {
    "cut": lambda line, text: line[: 1 + len(text.encode()) % (len(line) - 1)],
    "its second half": lambda line, text: line[len(line) // 2 :],
    "no JSON": lambda line, text: b"<html>" + text.encode().replace(b"\n", b" "),
    "no UTF-8": lambda line, text: line.replace(b'"custom_id": "', b'"custom_id": "\xff'),
    "a NUL": lambda line, text: b"\0" * (1 + len(text)),
    "two in one": lambda line, text: line + line,
    "no custom id": lambda line, text: json.dumps({"id": text, "result": {"type": "succeeded"}}).encode(),
    "no text for an id": lambda line, text: b'{"custom_id": 5, "result": {}}',
    "a number": lambda line, text: str(len(text)).encode(),
    "a list": lambda line, text: b"[" + line + b"]",
    "null": lambda line, text: b"null",
    "without a bottom": lambda line, text: b'{"a": ' * 10_000,
}
"""Ways in which a line says nothing of any request."""

SPOILT: dict[str, Callable[[bytes], bytes]] = {
    "no UTF-8 in it": lambda line: line.replace(b'"model": "', b'"model": "\xff'),
    "no number in it": lambda line: line.replace(b'put_tokens": ', b'put_tokens": 9e999').replace(
        b'completion_tokens": ', b'completion_tokens": 9e999'
    ),
}
"""Damage that leaves the custom id whole: it is told whose answer cannot be read."""

SCRATCHED: dict[str, Callable[[bytes], bytes]] = {
    "good, no UTF-8 beside it": lambda line: line[:-1] + b', "text": "\xff"}',
    "good, no number beside it": lambda line: line[:-1] + b', "size": 1e999}',
}
"""Damage to what nobody reads: the answer is whole, and paid for."""

BLANK = {"blank": b"", "spaces": b" \t ", "a return": b"\r"}


class Piece(NamedTuple):
    """One line of a results file, before the job and the vendor are known."""

    kind: str
    index: int
    text: str = ""
    escaped: bool = False


ANSWERS = (*SHAPES["openai"], *SPOILT, *SCRATCHED)
KINDS = st.one_of(*(st.sampled_from(tuple(kinds)) for kinds in (("good",), ANSWERS, ANSWERS, FOREIGN, DAMAGED, BLANK)))
TEXTS = st.text(max_size=12) | st.just(BREAKS)
FILES = st.lists(st.builds(Piece, KINDS, st.integers(0, RECORDS + 1), TEXTS, st.booleans()), max_size=14)


@pytest.fixture
def ask(vendor, tmp_path, monkeypatch) -> Callable[..., Job]:
    """Ask one vendor *records* questions, *shard* to a batch; every batch has ended."""

    def ask(records: int, shard: int) -> Job:
        bench = Bench(vendor, MODELS[vendor], "http://127.0.0.1:9", lambda: None, monkeypatch)
        bench.connect(max_requests=shard)
        source = [{"n": number, "text": f"text {number}"} for number in range(records)]
        job = bench.job(tmp_path, source, prompt="Echo {{ record.text }}")
        prepare_first(job)
        for state in job.manifest.shards:
            batch = Batch(batch_id=f"batch_{state.shard.number}", status="completed", total=state.shard.count)
            job.record("intent", state)
            job.record("submitted", state, batch_id=batch.batch_id)
            job.record("ended", state, batch_id=batch.batch_id, batch=batch)
        return job

    return ask


@pytest.fixture
def job(ask) -> Job:
    return ask(RECORDS, SHARD)


def as_line(job: Job, piece: Piece) -> bytes:
    """Write *piece* as this job's vendor would."""
    if piece.kind in BLANK:
        return BLANK[piece.kind]
    name = custom_id(job.spec.job_id, 1, piece.index)
    if piece.kind in FOREIGN:
        name = FOREIGN[piece.kind](job.spec.job_id, piece.index)
    shapes = SHAPES[job.hook.vendor]
    body = shapes.get(piece.kind, shapes["good"]).make(piece.text)
    line = json.dumps({"custom_id": name, **body}, ensure_ascii=piece.escaped).encode()
    if piece.kind in DAMAGED:
        return DAMAGED[piece.kind](line, piece.text)
    flaw = (SPOILT | SCRATCHED).get(piece.kind)
    return flaw(line) if flaw else line


def land(job: Job, files: Iterable[list[bytes]]) -> list[Tally]:
    """Put the results of every shard in place and count them, as collecting does."""
    tallies = []
    for shard, lines in zip(job.manifest.shards, files, strict=True):
        with job.folder.files.landing(job.folder.results_name(shard)) as path:
            path.write_bytes(b"\n".join(lines))  # the last line has no end: the commonest flaw of all
            job.landings[shard.name] = land_shard(job, shard, path)
            tallies.append(job.landings[shard.name].tally)
        job.record("collected", shard, batch_id=shard.batch_id, tally=tallies[-1])
    return tallies


def rows(job: Job) -> list[dict[str, Any]]:
    """Finish the job, make its results ready to be written anew, and return its rows."""
    with suppress(IncompleteError):  # its rows are written all the same
        finish(job)
    for shard in job.manifest.shards:
        job.folder.files.remove(f"events/{shard.name}.collected.json")
    job.refresh()
    with open(job.terms.output_uri, "rb") as file:
        return [json.loads(line) for line in file]


def lines_of(pieces: list[Piece], own: range) -> dict[int, list[Piece]]:
    """Return the lines of a file that answer a request of its shard."""
    return {index: [piece for piece in pieces if piece.index == index and piece.kind in ANSWERS] for index in own}


def expected_tally(shapes: dict[str, Shape], pieces: list[Piece], own: range) -> Tally:
    """Count what a file holds, from what it was made of."""
    found = [verdict(shapes, lines) for lines in lines_of(pieces, own).values()]
    mine = [piece for piece in pieces if piece.kind in ANSWERS and piece.index in own]
    return Tally(
        statuses=dict(Counter(status for status, _ in found)),
        damaged=sum(piece.kind in DAMAGED for piece in pieces),
        duplicated=len(mine) - len({piece.index for piece in mine}),
        foreign=sum(piece.kind in FOREIGN or piece.kind in ANSWERS for piece in pieces) - len(mine),
    )


def verdict(shapes: dict[str, Shape], lines: list[Piece]) -> tuple[str, str | None]:
    """Return status and text: those of the first good line, else of the first, else *missing*."""
    if not lines:
        return "missing", None
    piece = next((piece for piece in lines if piece.kind.startswith("good")), lines[0])
    if piece.kind in SPOILT:
        return "errored", None
    shape = shapes[piece.kind.partition(",")[0]]
    if shape.keeps_refusal:
        return shape.status, piece.text or "No."
    return shape.status, piece.text if shape.status == "succeeded" else None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=FILES, second=FILES)
@example(first=[], second=[])
@example(
    first=[Piece("good", index, BREAKS) for index in range(SHARD)], second=[Piece("good too", RECORDS - 1, BREAKS)]
)
@example(first=[Piece("failed", 0), Piece("good", 0, "second"), Piece("good", 0, "third")], second=[Piece("good", 0)])
@example(first=[Piece(kind, 1, BREAKS) for kind in (*DAMAGED, *FOREIGN, *BLANK)], second=[])
@example(first=[Piece(kind, 2) for kind in ANSWERS], second=[Piece("good", 4), Piece("no UTF-8 in it", 4)])
@example(first=[Piece("expired", 0), Piece("wrong", 0), Piece("refused", 1), Piece("expired", 1)], second=[])
def test_any_lines_make_one_row_for_every_record_and_one_verdict_for_every_request(job, first, second):
    shapes = SHAPES[job.hook.vendor]
    shards = [(first, range(SHARD)), (second, range(SHARD, RECORDS))]

    tallies = land(job, [[as_line(job, piece) for piece in pieces] for pieces, _ in shards])
    table = rows(job)

    assert [(row["n"], row["text"], row["llm_index"]) for row in table] == [
        (number, f"text {number}", number) for number in range(RECORDS)
    ]
    found = [verdict(shapes, lines) for pieces, own in shards for lines in lines_of(pieces, own).values()]
    assert [row["llm_status"] for row in table] == [status for status, _ in found]
    assert [row["llm_output"] for row in table] == [text for _, text in found]
    assert tallies == [expected_tally(shapes, pieces, own) for pieces, own in shards]
    assert [sum(counted.statuses.values()) for counted in tallies] == [SHARD, SHARD]


STRANGE: list[Any] = [None, True, -1, 1.5, 2**70, "", "text", [], ["text", 5], {}, {"type": "text", "text": 5}]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where in *value* there is something."""
    for name, inner in (
        value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ())
    ):
        yield (*path, name)
        yield from places(inner, (*path, name))


def put(value: Any, place: tuple[Any, ...], other: Any) -> Any:
    """Return *value* with *other* at *place*."""
    if not place:
        return other
    changed = value.copy()
    changed[place[0]] = put(value[place[0]], place[1:], other)
    return changed


def test_no_value_in_no_place_of_a_line_is_the_end_of_the_job(ask, vendor):
    bodies = [
        put(body, place, value)
        for body in (shape.make("text") for shape in SHAPES[vendor].values())
        for place in places(body)
        for value in STRANGE
    ]
    job = ask(len(bodies), len(bodies))
    names = [custom_id(job.spec.job_id, 1, index) for index in range(len(bodies))]

    (counted,) = land(
        job, [[json.dumps({"custom_id": name, **body}).encode() for name, body in zip(names, bodies, strict=True)]]
    )
    table = rows(job)

    assert [row["n"] for row in table] == list(range(len(bodies)))
    assert dict(Counter(row["llm_status"] for row in table)) == dict(counted.statuses)
    assert counted.statuses.keys() <= set(STATUSES)
    assert (counted.damaged, counted.duplicated, counted.foreign) == (0, 0, 0)
    for name in ("llm_error_code", "llm_error_message", "llm_finish_reason", "llm_model"):
        assert {type(row[name]) for row in table} <= {str, type(None)}
