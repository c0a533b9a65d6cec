"""What the golden request files hold. ``python -m tests.hooks.asks`` writes them; a person reads the difference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow_provider_llmbatch.core.requests import Ask, custom_id
from airflow_provider_llmbatch.hooks.anthropic import AnthropicBatchHook
from airflow_provider_llmbatch.hooks.base import BatchHook
from airflow_provider_llmbatch.hooks.openai import CHAT, RESPONSES, OpenAIBatchHook

GOLDEN = Path(__file__).parents[1] / "golden" / "requests"
JOB = "0123456789"
FILES: dict[str, tuple[type[BatchHook], str | None, str]] = {
    "openai-chat": (OpenAIBatchHook, CHAT, "gpt-6-luna"),
    "openai-responses": (OpenAIBatchHook, RESPONSES, "gpt-6-sol"),
    "anthropic-messages": (AnthropicBatchHook, None, "claude-haiku-5-5"),
}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


ASKS: dict[str, dict[str, Any]] = {
    "plain": {"messages": [user("Classify: great phone")]},
    "system": {"messages": [user("Hello")], "system": "Be brief."},
    "system turns": {
        "messages": [
            {"role": "system", "content": "Be brief."},
            user("Hello"),
            {"role": "assistant", "content": "Hi."},
            user("Again"),
        ],
        "system": "Answer in German.",
    },
    "any script": {"messages": [user("Größe 東京 \u2028 \x7f 'single' \"double\" \\ \n\t🙂")]},
    "parts": {"messages": [user([{"type": "text", "text": "What is this?"}])]},
    "bound in the params": {"messages": [user("Hello")], "params": {"max_tokens": 7}},
    "params": {"messages": [user("Hello")], "params": {"temperature": 0, "stop": ["a", "b"], "left_out": None}},
    "body": {"messages": [user("Hello")], "body": {"metadata": {"a": "b"}, "temperature": 1, "model": "ignored"}},
    "bound in the body": {
        "messages": [user("Hello")],
        "body": {"max_tokens": 4096, "max_completion_tokens": 4096, "max_output_tokens": 4096},
    },
    "params over body": {
        "messages": [user("Hello")],
        "body": {"temperature": 1},
        "params": {"temperature": 0},
    },
    "asked by the body": {"messages": [], "body": {"messages": [user("Hello")], "input": "Hello"}},
}


def encode(file: str, name: str) -> bytes:
    """Return the request line of the ask *name* in *file*."""
    hook, endpoint, model = FILES[file]
    parts: dict[str, Any] = {"model": model, "system": None, "max_tokens": 64, "params": {}, "body": {}}
    ask = Ask(**parts | ASKS[name])
    return hook("not_read").encode(custom_id(JOB, 1, list(ASKS).index(name)), ask, endpoint).line


def write() -> None:
    """Write the golden files anew."""
    for file in FILES:
        (GOLDEN / f"{file}.jsonl").write_bytes(b"".join(encode(file, name) for name in ASKS))


if __name__ == "__main__":
    write()
