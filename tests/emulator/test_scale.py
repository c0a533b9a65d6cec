"""Full-size batches: in seconds, and in the memory of a small one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from airflow_provider_llmbatch.emulator import Emulator
from tests.emulator.conftest import CHAT, anthropic_batch, message, openai_batch, raw
from tests.emulator.test_persistence import Process

ROOMY_MB = 100
"""Peak of the whole process, of which the idle interpreter takes about 35."""


def line(number: int, text: str) -> bytes:
    body = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": text}]}
    return json.dumps({"custom_id": f"row-{number}", "method": "POST", "url": CHAT, "body": body}).encode() + b"\n"


def item(number: int, text: str) -> bytes:
    return json.dumps(message(number, text)).encode()


def multipart(rows: Iterator[bytes]) -> Iterator[bytes]:
    yield b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
    yield from rows
    yield b"\r\n--b--\r\n"


def requests(items: Iterator[bytes]) -> Iterator[bytes]:
    yield b'{"requests":['
    for number, one in enumerate(items):
        yield b"," + one if number else one
    yield b"]}"


def in_pieces(stream: Iterator[bytes], size: int = 1 << 20) -> Iterator[bytes]:
    """Join what comes in drops to pieces that a client would send."""
    piece = bytearray()
    for drop in stream:
        piece += drop
        if len(piece) >= size:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)


def peak_mb(process: Process) -> int:
    status = Path(f"/proc/{process.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+)", status)
    assert found
    return int(found.group(1)) // 1024


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    running = Process(tmp_path, "--speed", "0")
    yield running
    running.process.kill()
    running.process.wait()
    assert running.process.stdout
    running.process.stdout.close()


def post(process: Process, path: str, content: Iterator[bytes], **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = httpx2.post(
        process.url + path, content=in_pieces(content), headers={"x-api-key": "k", **named}, timeout=120
    )
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.slow
def test_50_000_openai_rows_in_a_file_of_the_full_200_mb(process: Process) -> None:
    text = "One of: positive, negative. I love it. " + "word " * 770
    size = len(line(10_000, text))
    rows = min(50_000, 199_900_000 // size)
    assert size * rows > 195_000_000
    upload = multipart(line(number, text) for number in range(rows))
    file = post(process, "/v1/files", upload, authorization="Bearer k", content_type="multipart/form-data; boundary=b")
    assert peak_mb(process) < ROOMY_MB
    batch = process.oai.batches.create(input_file_id=file["id"], endpoint=CHAT, completion_window="24h")
    process.control("POST", "clock", {"advance": 3_600})
    batch = process.oai.batches.retrieve(batch.id)

    assert batch.request_counts
    assert batch.request_counts.completed == rows
    assert peak_mb(process) < ROOMY_MB


@pytest.mark.slow
def test_100_000_anthropic_requests_in_a_body_of_the_full_256_mb(process: Process) -> None:
    text = "One of: positive, negative. I love it. " + "word " * 470
    size = len(item(10_000, text)) + 1
    count = min(100_000, 255_900_000 // size)
    assert size * count > 245_000_000
    body = requests(item(number, text) for number in range(count))
    batch = post(process, "/v1/messages/batches", body, anthropic_version="2026-10-21")
    assert batch["request_counts"]["processing"] == count
    assert peak_mb(process) < ROOMY_MB
    process.control("POST", "clock", {"advance": 3_600})

    ended = process.ant.messages.batches.retrieve(batch["id"])
    assert ended.request_counts.succeeded == count
    assert peak_mb(process) < ROOMY_MB


@pytest.mark.slow
@pytest.mark.parametrize("vendor", ["openai", "anthropic"])
def test_50_000_rows_go_through_and_come_back_once_each(emulator: Emulator, oai: openai.OpenAI, vendor: str) -> None:
    count = 50_000
    if vendor == "openai":
        batch = openai_batch(oai, [line(number, "One of: a, b.").rstrip() for number in range(count)])
        emulator.advance(3_600)
        content = oai.files.content(oai.batches.retrieve(batch.id).output_file_id or "").content
    else:
        body = b"".join(requests(item(number, "One of: a, b.") for number in range(count)))
        made = json.loads(raw(emulator, "POST", "/v1/messages/batches", body, vendor="anthropic")[2])
        emulator.advance(3_600)
        content = raw(emulator, "GET", f"/v1/messages/batches/{made['id']}/results", vendor="anthropic")[2]

    found = re.findall(rb'"custom_id":"row-(\d+)"', content)
    assert sorted(map(int, found)) == list(range(count))
    assert emulator.bill()["total"]["requests_billed"] == count


def test_calls_are_answered_while_a_large_batch_is_being_worked_on(emulator: Emulator, ant: Any) -> None:
    batch = anthropic_batch(ant, 3_000)
    polls = 0
    while emulator.world.batches[batch.id].answered is None:
        assert ant.messages.batches.retrieve(batch.id).processing_status == "in_progress"
        polls += 1

    assert polls > 1
