"""One emulator whose clock stands still, and the official SDKs in front of it.

Nothing here waits: tests move the clock.  Each one finds the world empty, the faults off and the options at rest.
"""

from __future__ import annotations

import dataclasses
import http.client
import json
from collections.abc import Iterable, Iterator
from typing import Any

import anthropic
import openai
import pytest
from pydantic import BaseModel, TypeAdapter

from airflow_provider_llmbatch.emulator import Emulator, Options

DAY = 86_400
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="session")
def _emulator() -> Iterator[Emulator]:
    with Emulator(speed=0) as emulator:
        yield emulator


@pytest.fixture
def emulator(_emulator: Emulator) -> Iterator[Emulator]:
    yield _emulator
    _emulator.clear_faults()
    _emulator.set_options(**dataclasses.asdict(Options(speed=0)))
    _emulator.reset()


@pytest.fixture(scope="session")
def _openai(_emulator: Emulator) -> openai.OpenAI:
    return openai.OpenAI(base_url=_emulator.openai_url, api_key="sk-any", max_retries=0, timeout=20)


@pytest.fixture
def oai(_openai: openai.OpenAI, emulator: Emulator) -> openai.OpenAI:
    """The official OpenAI client."""
    return _openai


@pytest.fixture(scope="session")
def _anthropic(_emulator: Emulator) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=_emulator.anthropic_url, api_key="sk-any", max_retries=0, timeout=20)


@pytest.fixture
def ant(_anthropic: anthropic.Anthropic, emulator: Emulator) -> anthropic.Anthropic:
    """The official Anthropic client."""
    return _anthropic


def chat_body(text: str = "Say something.", **more: Any) -> dict[str, Any]:
    """Return a small chat request."""
    return {"model": "gpt-6-luna", "messages": [{"role": "user", "content": text}], **more}


def openai_line(number: int | str, body: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Return one line of an OpenAI batch file."""
    url = more.pop("url", CHAT)
    return {"custom_id": f"row-{number}", "method": "POST", "url": url, "body": body or chat_body(), **more}


def jsonl(lines: Iterable[Any]) -> bytes:
    """Encode lines; bytes stay as they are."""
    return b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)


def openai_batch(
    oai: openai.OpenAI, lines: Iterable[Any] | int = 3, *, endpoint: str = CHAT, fault: str = "", **more: Any
) -> openai.types.Batch:
    """Upload *lines* (or that many) and create a batch, with *fault* on the create call."""
    if isinstance(lines, int):
        lines = [openai_line(number, chat_body(f"Question {number}?")) for number in range(lines)]
    file = oai.files.create(file=("requests.jsonl", jsonl(lines)), purpose="batch")
    headers = {"x-emulator-fault": fault} if fault else {}
    return oai.batches.create(
        input_file_id=file.id,
        endpoint=endpoint,  # type: ignore[arg-type]
        completion_window="24h",
        extra_headers=headers,
        **more,
    )


def openai_rows(oai: openai.OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    """Download a result file."""
    assert file_id
    return [json.loads(line) for line in oai.files.content(file_id).text.splitlines()]


def message(number: int | str, text: str = "Say something.", **params: Any) -> Any:
    """Return one request of an Anthropic batch."""
    base = {"model": "claude-haiku-5-5", "max_tokens": 64, "messages": [{"role": "user", "content": text}]}
    return {"custom_id": f"row-{number}", "params": {**base, **params}}


def anthropic_batch(ant: anthropic.Anthropic, requests: list[Any] | int = 3, *, fault: str = "", **headers: str) -> Any:
    """Create a batch of *requests* (or that many), with *fault* on the create call."""
    if isinstance(requests, int):
        requests = [message(number, f"Question {number}?") for number in range(requests)]
    extra = {name.replace("_", "-"): value for name, value in headers.items()}
    if fault:
        extra["x-emulator-fault"] = fault
    return ant.messages.batches.create(requests=requests, extra_headers=extra)


def anthropic_rows(ant: anthropic.Anthropic, batch_id: str) -> dict[str, Any]:
    """Download the results, by custom_id."""
    return {line.custom_id: line.result for line in ant.messages.batches.results(batch_id)}


def raw(
    emulator: Emulator, method: str, path: str, body: Any = None, *, vendor: str = "openai", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Make a call without an SDK; return status, headers and body."""
    sent = {"authorization": "Bearer sk-any"}
    if vendor == "anthropic":
        sent["anthropic-version"] = "2026-10-21"
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection = http.client.HTTPConnection(emulator.url.removeprefix("http://"), timeout=20)
    try:
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, data, {name: value for name, value in sent.items() if value})
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


def conform(model: Any, document: Any) -> None:
    """Check *document* against a model of the SDK: every literal right, no field that the model does not know."""
    parsed = TypeAdapter(model).validate_python(document)
    strangers = list(_strangers(parsed, ""))
    assert not strangers, strangers


def _strangers(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, BaseModel):
        yield from (f"{path}.{name}" for name in value.model_extra or ())
        for name in type(value).model_fields:
            yield from _strangers(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, list):
        for item in value:
            yield from _strangers(item, f"{path}[]")
