"""What is asked and answered: the same bytes in every run."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.measure import Case, connect

if TYPE_CHECKING:
    from airflow_provider_llmbatch.engine import Job

MODELS = {"openai": "gpt-6-luna", "anthropic": "claude-haiku-5-5"}
SYSTEM = "You label reviews."
FORMAT = "Label this review of {product}: {title}\n\n{text}\n\nId {id}. Answer good or bad."
PLAIN = "Label this review of {{ record.product }}: {{ record.title }}\n\n{{ record.text }}\n\nId {{ record.id }}. "
PLAIN += "Answer good or bad."
JINJA = "{% if record.title %}Label this review of {{ record.product | upper }}: {% endif %}" + PLAIN
USAGE: dict[str, list[str]] = {
    "openai": ["prompt_tokens", "completion_tokens"],
    "anthropic": ["input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens"],
}
WORDS = "lorem ipsum dolor sit amet consectetur "


def records(path: Path, count: int, size: int = 300) -> Path:
    """Write *count* records of about *size* bytes, if that was not done yet."""
    if not path.exists():
        text = (WORDS * (size // len(WORDS) + 1))[: size - 100]
        with path.open("w", buffering=1 << 20) as file:
            for n in range(count):
                row = {"id": f"r{n:08}", "product": f"product {n % 977}", "title": f"title number {n}"}
                file.write(json.dumps(row | {"text": f"{text}{n}"}) + "\n")
    return path


def open_job(case: Case, source: Path, prompt: str = PLAIN, **limits: Any) -> Job:
    """Begin our job, or open it again; its client is made, and every module that it takes is there."""
    from airflow_provider_llmbatch.core.requests import Question
    from airflow_provider_llmbatch.engine.begin import Identity, begin
    from airflow_provider_llmbatch.engine.job import Plan, Terms
    from airflow_provider_llmbatch.sources import open_source
    from airflow_provider_llmbatch.storage.layout import JobFolder
    from airflow_provider_llmbatch.vendors import load_hook

    connect(case, **limits)
    hook = load_hook(case.vendor, f"{case.vendor}_default")
    hook.preflight()
    question = Question(model=MODELS[case.vendor], prompt=prompt, system=SYSTEM)
    job = begin(
        JobFolder(f"file://{case.path}/job"),
        Identity(dag_id="bench", run_id="run", task_id="ask"),
        hook,
        Plan(question=question, source=open_source(str(source))),
        Terms(output_uri=f"{case.path}/out.jsonl"),
    )
    job.refresh()
    return job


def prompts(source: Path) -> Iterator[str]:
    """Yield what a user of the other tools makes of the records: a list of prompts."""
    import orjson

    with source.open("rb") as file:
        for line in file:
            yield FORMAT.format_map(orjson.loads(line))


def results(path: Path, vendor: str, names: list[str]) -> None:
    """Write one batch's results, of 0.8 to 1.1 KB each, in another order than that of the requests."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random.Random(len(names)).shuffle(names)
    before, after = json.dumps(_result(vendor)).encode().split(b"NAME")
    with path.open("wb", buffering=1 << 20) as file:
        file.writelines(b"".join((before, name.encode(), after, b"\n")) for name in names)


def _result(vendor: str) -> dict[str, Any]:
    """Return a result as the vendor writes it; ``NAME`` stands for the custom id."""
    text = "good " * 80
    usage: dict[str, Any] = dict.fromkeys(USAGE[vendor], 80)
    if vendor == "anthropic":
        content = [{"type": "text", "text": text}]
        message = {"id": "msg_013Zva2C", "type": "message", "role": "assistant", "model": MODELS[vendor]}
        message |= {"content": content, "stop_reason": "end_turn", "stop_sequence": None, "usage": usage}
        return {"custom_id": "NAME", "result": {"type": "succeeded", "message": message}}
    usage |= {"total_tokens": 160, "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0}}
    usage["completion_tokens_details"] = {"reasoning_tokens": 0, "audio_tokens": 0, "accepted_prediction_tokens": 0}
    answer = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    choices = [{"index": 0, "message": answer, "logprobs": None, "finish_reason": "stop"}]
    body = {"id": "chatcmpl-9hXo1", "object": "chat.completion", "created": 1_790_000_000, "model": MODELS[vendor]}
    body |= {"choices": choices, "usage": usage, "service_tier": "default", "system_fingerprint": None}
    response = {"status_code": 200, "request_id": "req_b64f2b1d4a", "body": body}
    return {"id": "batch_req_6738a3a1", "custom_id": "NAME", "response": response, "error": None}
