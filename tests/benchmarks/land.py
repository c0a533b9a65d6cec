"""From batches that have ended to rows: 20 OpenAI batches, or 10 of Anthropic's, shuffled, about 1 KB a result."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from tests.benchmarks import data
from tests.benchmarks.measure import KEY, Case
from tests.benchmarks.submit import FULL, sdk_client

BATCHES = {"openai": 20, "anthropic": 10}
"""In how many batches a million results come; larger runs have more of them, smaller runs have smaller ones."""
AGAIN = ("*.ended*.json", "*.collected.json", "*.tidied.json")
"""Events that happen when the results are landed."""


def make(case: Case) -> Iterator[None]:
    """Submit our job to the stub, and lay out what it answers: for us, and for the others under their names.

    ``-7`` is what common-ai calls request 7 of a batch without a prefix, and a number for lm-deluge.
    """
    from airflow_provider_llmbatch.engine import start

    yield
    shutil.rmtree(case.path / "job", ignore_errors=True)
    source = data.records(case.path / "in.jsonl", case.count)
    job = data.open_job(case, source, max_requests=_size(case))
    start(job)
    for number, part in enumerate(_parts(case)):
        data.results(case.path / f"ours/{number}.jsonl", case.vendor, [f"{job.spec.job_id}-1-{n}" for n in part])
        data.results(case.path / f"theirs/{number}.jsonl", case.vendor, [f"-{n}" for n in range(len(part))])
    assert len(job.manifest.batch_ids) == len(_parts(case))


def _size(case: Case) -> int:
    return min(-(-case.count // BATCHES[case.vendor]), FULL[case.vendor][0])


def _parts(case: Case) -> list[range]:
    return [range(n, min(n + _size(case), case.count)) for n in range(0, case.count, _size(case))]


def _batch_ids(case: Case) -> list[str]:
    kind = "batch" if case.vendor == "openai" else "msgbatch"
    return [f"{kind}_{number}" for number in range(len(_parts(case)))]


def _path(case: Case, number: int) -> str:
    files = f"/files/file_{number}/content"
    return files if case.vendor == "openai" else f"/v1/messages/batches/msgbatch_{number}/results"


def limit(case: Case) -> Iterator[None]:
    """the bytes brought to disk, and every line decoded once"""
    import orjson

    client = sdk_client(case)
    options: Any = {"headers": {"X-Stainless-Raw-Response": "stream"}}
    yield
    count = 0
    for number in range(len(_parts(case))):
        with (case.path / "limit").open("w+b", buffering=1 << 20) as file:
            response = client.get(_path(case, number), cast_to=bytes, options=options)
            for block in response.iter_bytes(1 << 20):
                file.write(block)
            response.close()
            file.seek(0)
            count += sum("custom_id" in orjson.loads(line) for line in file)
    assert count == case.count


def ours(case: Case) -> Iterator[None]:
    """the engine: rows in input order, with the record's columns, verdict, tokens and cost"""
    import genai_prices.data  # noqa: F401 - some 90 MB, and the first row would import it

    from airflow_provider_llmbatch.engine import Done, advance

    for pattern in AGAIN:
        for event in (case.path / "job" / "events").glob(pattern):
            event.unlink()
    shutil.rmtree(case.path / "job" / "results", ignore_errors=True)
    (case.path / "out.jsonl").unlink(missing_ok=True)
    job = data.open_job(case, case.path / "in.jsonl", max_requests=_size(case))
    yield
    done = advance(job)
    assert isinstance(done, Done)
    assert done.summary["counts"]["succeeded"] == case.count
    assert done.summary["cost_usd"]


def common_ai(case: Case) -> Iterator[None]:
    """`stream_results_to_jsonl`: rows in order of arrival, without columns or cost"""
    from airflow.providers.common.ai.batch.dispatch import import_adapter_class
    from airflow.providers.common.ai.batch.output_schema import build_output_spec
    from airflow.providers.common.ai.batch.results import stream_results_to_jsonl
    from airflow.sdk import ObjectStoragePath

    adapter = import_adapter_class(case.vendor)(api_key=KEY, base_url=case.host("theirs"))  # type: ignore[call-arg]
    adapter.get_batch(_batch_ids(case)[0])
    spec = build_output_spec(str)
    with ObjectStoragePath(f"file://{case.path}/first").open("w") as file:
        file.write("what the first write imports: a lot of Airflow")
    yield
    good = 0
    for batch_id, part in zip(_batch_ids(case), _parts(case), strict=True):
        counts, _ = stream_results_to_jsonl(
            adapter=adapter,
            batch_id=batch_id,
            output_spec=spec,
            request_count=len(part),
            custom_id_prefix="",
            destination=ObjectStoragePath(f"file://{case.path}/common-ai/{batch_id}.jsonl"),
        )
        good += counts["success"]
    assert good == case.count


def lm_deluge(case: Case) -> Iterator[None]:
    """`wait_for_batch_completion_async`: a list in memory"""
    import asyncio
    import os

    import aiohttp
    from lm_deluge.batches import wait_for_batch_completion_async

    os.environ.update(OPENAI_API_KEY=KEY, ANTHROPIC_API_KEY=KEY)
    request, host = aiohttp.ClientSession._request, case.host("theirs").removesuffix("/v1")

    async def to_the_stub(self: Any, method: str, url: Any, **facts: Any) -> Any:
        return await request(self, method, host + str(url).partition(".com")[2], **facts)

    aiohttp.ClientSession._request = to_the_stub  # type: ignore[method-assign]  # its hosts are fixed
    yield
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        found = asyncio.run(wait_for_batch_completion_async(_batch_ids(case), case.vendor))  # type: ignore[arg-type]
    assert len(found) == case.count


def sdk(case: Case) -> Iterator[None]:
    """the SDK as its guide shows it; nothing is joined or written"""
    import json

    client = sdk_client(case)
    yield
    count = 0
    for number, batch_id in enumerate(_batch_ids(case)):
        if case.vendor == "openai":
            lines = client.files.content(f"file_{number}").text.splitlines()
            count += sum("custom_id" in json.loads(line) for line in lines)
        else:
            count += sum(bool(result.custom_id) for result in client.messages.batches.results(batch_id))
    assert count == case.count
