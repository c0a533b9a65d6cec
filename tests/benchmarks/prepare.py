"""From records in a file to request files: what has to be read, rendered, encoded and written."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

from tests.benchmarks import data
from tests.benchmarks.measure import Case


def make(case: Case) -> Iterator[None]:
    yield
    data.records(case.path / "in.jsonl", case.count)


def limit(case: Case) -> Iterator[None]:
    """the records read and decoded; nothing is written"""
    import orjson

    yield
    with (case.path / "in.jsonl").open("rb") as file:
        assert sum("id" in orjson.loads(line) for line in file) == case.count


def str_format(case: Case) -> Iterator[None]:
    """a loop of `orjson`, `str.format`, `orjson`, and one file"""
    yield from _loop(case, data.FORMAT.format_map)


def jinja(case: Case) -> Iterator[None]:
    """the same loop with Jinja's sandbox and a template compiled once"""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    template = ImmutableSandboxedEnvironment().from_string(data.JINJA)
    yield from _loop(case, lambda record: template.render(record=record))


def _loop(case: Case, render: Callable[[Any], str]) -> Iterator[None]:
    import orjson

    yield
    made = 0
    with (case.path / "in.jsonl").open("rb") as file, (case.path / "out").open("wb", buffering=1 << 20) as out:
        for made, line in enumerate(file, start=1):
            out.write(orjson.dumps(_request(made, render(orjson.loads(line)))) + b"\n")
    assert made == case.count


def _request(number: int, prompt: str) -> dict[str, Any]:
    messages = [{"role": "system", "content": data.SYSTEM}, {"role": "user", "content": prompt}]
    body = {"model": data.MODELS["openai"], "messages": messages, "max_completion_tokens": 1024}
    return {"custom_id": f"0123456789-1-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}


def ours_plain(case: Case) -> Iterator[None]:
    """the engine, with a template of plain fields"""
    yield from _ours(case, data.PLAIN)


def ours_jinja(case: Case) -> Iterator[None]:
    """the engine, with a template that takes all of Jinja"""
    yield from _ours(case, data.JINJA)


def _ours(case: Case, prompt: str) -> Iterator[None]:
    from airflow_provider_llmbatch.engine.prepare import prepare_first

    shutil.rmtree(case.path / "job", ignore_errors=True)
    job = data.open_job(case, case.path / "in.jsonl", prompt)
    yield
    prepare_first(job)
    assert sum(shard.shard.count for shard in job.manifest.rounds[0].shards) == case.count


def lm_deluge(case: Case) -> Iterator[None]:
    """`create_batch_files_oa`, from a list of prompts"""
    import asyncio
    from pathlib import Path

    from lm_deluge import SamplingParams
    from lm_deluge.batches import create_batch_files_oa

    yield
    prompts = list(data.prompts(case.path / "in.jsonl"))
    files = asyncio.run(create_batch_files_oa("gpt-4.1-mini", SamplingParams(), prompts))
    assert sum(Path(name).read_bytes().count(b"\n") for name in files) == case.count
    for name in files:
        Path(name).unlink()
