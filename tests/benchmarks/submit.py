"""One full batch, from what lies on disk to the vendor's answer: 50,000 requests in 200 MB, 100,000 in 250 MB."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.benchmarks import data
from tests.benchmarks.measure import KEY, Case, connect

FULL = {"openai": (50_000, 3_750), "anthropic": (100_000, 2_300)}
"""Requests of a full batch, and bytes of a record that make it a full one."""
MOST = {"openai": 200_000_000, "anthropic": 256_000_000}
"""Bytes that a batch may have."""
AT = 100_000
"""Records in the run from which on batches are full; a smaller run has smaller batches."""


def size(case: Case) -> int:
    return FULL[case.vendor][0] * min(case.count, AT) // AT


def make(case: Case) -> Iterator[None]:
    from airflow_provider_llmbatch.engine.prepare import prepare_first

    yield
    shutil.rmtree(case.path / "job", ignore_errors=True)
    source = data.records(case.path / "in.jsonl", size(case), FULL[case.vendor][1])
    job = data.open_job(case, source)
    prepare_first(job)
    (shard,) = job.manifest.rounds[0].shards
    assert case.count < AT or shard.shard.bytes > 0.95 * MOST[case.vendor]
    (case.path / "job" / "requests" / "r1-00000.jsonl").rename(case.path / "requests.jsonl")


def _requests(case: Case) -> Path:
    return case.path / "requests.jsonl"


def limit(case: Case) -> Iterator[None]:
    """the same bytes through a raw socket"""
    place = urlsplit(case.url)
    assert place.hostname
    assert place.port
    path = "/theirs/v1/files" if case.vendor == "openai" else "/theirs/v1/messages/batches"
    length = _requests(case).stat().st_size
    yield
    with socket.create_connection((place.hostname, place.port)) as line, _requests(case).open("rb") as file:
        line.sendall(f"POST {path} HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Length: {length}\r\n\r\n".encode())
        while block := file.read(1 << 20):
            line.sendall(block)
        assert line.recv(1 << 16).startswith(b"HTTP/1.1 200")


def ours(case: Case) -> Iterator[None]:
    """the hook, with the request file that the engine prepared"""
    from airflow_provider_llmbatch.hooks.calls import Marker
    from airflow_provider_llmbatch.vendors import load_hook

    connect(case)
    hook = load_hook(case.vendor, f"{case.vendor}_default")
    hook.preflight()
    yield
    marker = Marker(job="0123456789", shard="r1-00000", sha256="0" * 64, count=size(case), since=0.0)
    assert hook.create(_requests(case), hook.stage(_requests(case), "r1-00000.jsonl"), marker).batch_id


def ours_from_records(case: Case) -> Iterator[None]:
    """the engine: records read, requests prepared and sent, all of it written down"""
    from airflow_provider_llmbatch.engine import start

    shutil.rmtree(case.path / "job", ignore_errors=True)
    job = data.open_job(case, case.path / "in.jsonl")
    yield
    start(job)
    assert len(job.manifest.batch_ids) == 1


def common_ai(case: Case) -> Iterator[None]:
    """the adapter's `submit`, from the list of prompts that it takes"""
    from airflow.providers.common.ai.batch.dispatch import import_adapter_class
    from airflow.providers.common.ai.batch.output_schema import build_output_spec

    adapter = import_adapter_class(case.vendor)(api_key=KEY, base_url=case.host("theirs"))  # type: ignore[call-arg]
    _warmed(case, adapter._client)
    spec = build_output_spec(str)
    yield
    prompts: Any = [{"prompt": prompt} for prompt in data.prompts(case.path / "in.jsonl")]
    facts = {"idempotency_key": "0123456789abcdef", "input_fingerprint": "0" * 64, "output_spec": spec}
    sent = adapter.submit(prompts, model=data.MODELS[case.vendor], system_prompt=data.SYSTEM, **facts)
    assert sent.batch_id


def official(case: Case) -> Iterator[None]:
    """the hook of the vendor's Airflow provider, with the same requests"""
    hook = _official_hook(case)
    yield
    if case.vendor == "openai":
        uploaded = hook.upload_file(str(_requests(case)), "batch")
        assert hook.create_batch(uploaded.id, "/v1/chat/completions").id
    else:
        assert hook.create_batch(_as_list(case)).id


def _official_hook(case: Case) -> Any:
    connect(case, whose="theirs")
    if case.vendor == "openai":
        from airflow.providers.openai.hooks.openai import OpenAIHook as Hook
    else:
        from airflow.providers.anthropic.hooks.anthropic import AnthropicHook as Hook
    hook: Any = Hook(conn_id=f"{case.vendor}_default")
    _warmed(case, hook.conn)
    return hook


def sdk(case: Case) -> Iterator[None]:
    """the SDK as its guide shows it, with the same requests"""
    client = sdk_client(case)
    yield
    if case.vendor == "openai":
        with _requests(case).open("rb") as file:
            uploaded = client.files.create(file=file, purpose="batch")
        facts: Any = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
        assert client.batches.create(input_file_id=uploaded.id, **facts).id
    else:
        assert client.messages.batches.create(requests=_as_list(case)).id


def sdk_client(case: Case) -> Any:
    """Return the vendor's client, connected, with everything imported that its first call imports."""
    if case.vendor == "openai":
        from openai import OpenAI as Client
    else:
        from anthropic import Anthropic as Client
    return _warmed(case, Client(api_key=KEY, base_url=case.host("theirs")))


def _warmed(case: Case, client: Any) -> Any:
    (client.batches if case.vendor == "openai" else client.messages.batches).list(limit=1)
    assert case.vendor != "openai" or client.files
    return client


def _as_list(case: Case) -> list[Any]:
    import orjson

    with _requests(case).open("rb") as file:
        return [orjson.loads(line) for line in file]
