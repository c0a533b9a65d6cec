"""What the golden request files hold. ``python -m tests.hooks.asks`` writes them; a person reads the difference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from airflow_provider_llmbatch.core.requests import Ask, CachePattern, Request, custom_id
from airflow_provider_llmbatch.core.schemas import OutputSchema, Tool
from airflow_provider_llmbatch.hooks._openai_endpoints import CHAT, COMPLETIONS, EMBEDDINGS, MODERATIONS, RESPONSES
from airflow_provider_llmbatch.hooks.anthropic import AnthropicBatchHook
from airflow_provider_llmbatch.hooks.base import BatchHook
from airflow_provider_llmbatch.hooks.openai import OpenAIBatchHook
from airflow_provider_llmbatch.hooks.settings import Settings

GOLDEN = Path(__file__).parents[1] / "golden" / "requests"
JOB = "0123456789"


def anthropic(conn_id: str = "not_read", **settings: Any) -> AnthropicBatchHook:
    """Return a hook whose connection pins the API version that still takes a temperature."""
    hook = AnthropicBatchHook(conn_id)
    pinned = {"default_headers": {"anthropic-version": "2023-06-01"}}
    hook.settings = Settings(**{"api_key": "not-sent", "client_kwargs": pinned} | settings)
    return hook


FILES: dict[str, tuple[Callable[[str], BatchHook], str | None, str]] = {
    "openai-chat": (OpenAIBatchHook, CHAT, "gpt-6-luna"),
    "openai-responses": (OpenAIBatchHook, RESPONSES, "gpt-6-sol"),
    "anthropic-messages": (anthropic, None, "claude-haiku-5-5"),
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


REVIEW = {
    "$defs": {"Tag": {"enum": ["price", "quality"], "title": "Tag", "type": "string"}},
    "type": "object",
    "title": "Review",
    "properties": {
        "score": {"type": "integer", "minimum": 1, "maximum": 5, "description": "5 is best."},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/Tag"}, "maxItems": 3},
        "day": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
    },
    "required": ["score", "tags", "day"],
    "additionalProperties": False,
}
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
STRICT = {"type": "object", "properties": {"a": {"type": "number", "minimum": 0}}, "required": ["a"]}
TOOLS = (
    Tool(name="get_weather", description="The weather now.", parameters=WEATHER),
    Tool(name="add", description="", parameters=STRICT, is_strict=True),
    Tool(name="put", description="", parameters={"type": "object"}, is_strict=True),
    Tool(raw={"type": "web_search_20250305", "name": "web_search", "max_uses": 2}),
)
OUTPUT = OutputSchema(name="Review", schema=REVIEW, wire=REVIEW, is_strict=True)
COUNTS = {"type": "object", "additionalProperties": {"type": "integer"}}
MAP = OutputSchema(name="Counts", schema=COUNTS, wire=COUNTS, is_strict=False)
PIXEL = "iVBORw0KGgo="


def sources(*blocks: dict[str, Any]) -> list[dict[str, Any]]:
    return [user([*blocks, {"type": "text", "text": "What is this?"}])]


ANTHROPIC: dict[str, dict[str, Any]] = {
    "output": {"messages": [user("Great phone")], "output": OUTPUT},
    "output with effort": {
        "messages": [user("Great phone")],
        "output": OUTPUT,
        "params": {"output_config": {"effort": "low"}},
    },
    "tools": {"messages": [user("Weather?")], "tools": TOOLS, "params": {"tool_choice": {"type": "any"}}},
    "tools and output": {"messages": [user("Weather?")], "tools": TOOLS[:1], "output": OUTPUT},
    "image by URL": {"messages": sources({"type": "image", "source": "https://example.org/a.png"})},
    "image inline": {"messages": sources({"type": "image", "source": f"data:image/png;base64,{PIXEL}"})},
    "image by id": {"messages": sources({"type": "image", "source": "file_picture"})},
    "document by URL": {"messages": sources({"type": "document", "source": "https://example.org/a.pdf"})},
    "document inline": {
        "messages": sources(
            {"type": "document", "title": "Bill", "source": "data:application/pdf;base64,JVBERi0xLjc="},
        )
    },
    "document by id": {
        "messages": sources({"type": "document", "source": "file_document", "cache_control": {"type": "ephemeral"}})
    },
    "document of text": {
        "messages": sources({"type": "document", "source": "data:text/plain;charset=utf-8;base64,R3LDvMOfZQ=="})
    },
    "source in its own words": {
        "messages": sources({"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}})
    },
    "betas": {
        "messages": [user("Hello")],
        "params": {"betas": ["output-300k-2026-03-24"]},
        "body": {"betas": "interleaved-thinking-2025-05-14"},
    },
    "thinking": {
        "messages": [user("Hello")],
        "max_tokens": 4096,
        "params": {"thinking": {"type": "enabled", "budget_tokens": 1024}},
    },
    "output of any keys": {"messages": [user("Count the words.")], "output": MAP},
    "output of any keys with system": {"messages": [user("Count the words.")], "output": MAP, "system": "Be brief."},
}
"""What is Anthropic's own, in ``anthropic-features.jsonl``."""


LONG_TALK = [
    user("Here is the handbook."),
    {"role": "assistant", "content": "I have read it."},
    user([{"type": "text", "text": "Here are"}, {"type": "text", "text": "two more pages."}]),
    {"role": "assistant", "content": [{"type": "text", "text": "Read, too."}]},
    user("Which page names a chocolate teapot?"),
]
PATTERNS = get_args(CachePattern)
CACHED: dict[str, dict[str, Any]] = {
    f"{pattern} {ttl}": {
        "messages": LONG_TALK,
        "system": "You know the handbook.",
        "tools": TOOLS[:2],
        "cache": pattern,
        "cache_ttl": ttl,
        "shared": 5,
    }
    for pattern in PATTERNS
    for ttl in ("1h", "5m")
}
"""Each pattern of ``cache`` on one and the same talk, in ``anthropic-caching.jsonl``; its last turn is the record's."""


def encode_cached(name: str) -> bytes:
    """Return the request line of the ask *name* with its marks."""
    return anthropic().encode(custom_id(JOB, 1, list(CACHED).index(name)), make(CACHED[name]), None).line


def encode_own(name: str) -> bytes:
    """Return the request line of the ask *name* that is Anthropic's own."""
    return anthropic().encode(custom_id(JOB, 1, list(ANTHROPIC).index(name)), make(ANTHROPIC[name]), None).line


def make(parts: dict[str, Any], model: str = "claude-haiku-5-5") -> Ask:
    return Ask(**{"model": model, "system": None, "max_tokens": 64, "params": {}, "body": {}} | parts)


LUNA, EMBEDDER, MODERATOR = "gpt-6-luna", "text-embedding-3-small", "omni-moderation-latest"
CUSTOM = Tool(raw={"type": "custom", "custom": {"name": "shell"}})
SEARCH = Tool(raw={"type": "web_search"})
LOOSE = OutputSchema(name="Any", schema={}, wire=WEATHER, is_strict=False)
PICTURE, PAPER = f"data:image/png;base64,{PIXEL}", "data:application/pdf;base64,JVBERi0xLjc="


def image(source: str, **more: Any) -> dict[str, Any]:
    return {"type": "image", "source": source, **more}


def document(source: str, **more: Any) -> dict[str, Any]:
    return {"type": "document", "source": source, **more}


OPENAI: dict[str, tuple[str | None, str, dict[str, Any]]] = {
    "chat: output": (None, LUNA, {"messages": [user("Great phone")], "output": OUTPUT}),
    "chat: output that is not strict": (
        CHAT,
        LUNA,
        {"messages": [user("Great phone")], "output": LOOSE},
    ),
    "chat: tools": (
        None,
        LUNA,
        {"messages": [user("Weather?")], "tools": (*TOOLS[:2], CUSTOM), "params": {"tool_choice": "required"}},
    ),
    "chat: format in the params": (
        None,
        LUNA,
        {"messages": [user("As JSON")], "output": OUTPUT, "params": {"response_format": {"type": "json_object"}}},
    ),
    "chat: image by URL": (None, LUNA, {"messages": sources(image("https://example.org/a.png"))}),
    "chat: image inline": (None, LUNA, {"messages": sources(image(PICTURE))}),
    "chat: document inline": (None, LUNA, {"messages": sources(document(PAPER))}),
    "chat: document by id": (None, LUNA, {"messages": sources(document("file-1"))}),
    "chat: parts in its own words": (
        None,
        LUNA,
        {"messages": sources({"type": "image_url", "image_url": {"url": PICTURE, "detail": "low"}})},
    ),
    "chat: system text before the body's turns": (
        None,
        LUNA,
        {"messages": [], "system": "Be brief.", "body": {"messages": [user("Hello")]}},
    ),
    "responses: output": (RESPONSES, LUNA, {"messages": [user("Great phone")], "output": OUTPUT}),
    "responses: output beside more text": (
        RESPONSES,
        LUNA,
        {
            "messages": [user("Great phone")],
            "output": OUTPUT,
            "body": {"text": {"verbosity": "high"}},
            "params": {"text": {"verbosity": "low"}},
        },
    ),
    "responses: tools": (RESPONSES, LUNA, {"messages": [user("Weather?")], "tools": (*TOOLS[:2], SEARCH)}),
    "responses: image by URL": (RESPONSES, LUNA, {"messages": sources(image("https://example.org/a.png"))}),
    "responses: image inline": (RESPONSES, LUNA, {"messages": sources(image(PICTURE, detail="low"))}),
    "responses: image by id": (RESPONSES, LUNA, {"messages": sources(image("file-1"))}),
    "responses: document by URL": (RESPONSES, LUNA, {"messages": sources(document("https://example.org/a.pdf"))}),
    "responses: document inline": (RESPONSES, LUNA, {"messages": sources(document(PAPER, filename="bill.pdf"))}),
    "responses: document by id": (RESPONSES, LUNA, {"messages": sources(document("file-1"))}),
    "responses: what the model said": (
        RESPONSES,
        LUNA,
        {"messages": [user("Hi"), {"role": "assistant", "content": [{"type": "text", "text": "Hi."}]}, user("Again")]},
    ),
    "responses: told by the body": (None, LUNA, {"messages": [], "body": {"input": "Hello", "truncation": "auto"}}),
    "responses: a stored prompt": (None, LUNA, {"messages": [], "body": {"prompt": {"id": "pmpt_1", "version": "2"}}}),
    "embeddings: a text": (EMBEDDINGS, EMBEDDER, {"messages": [user("one")]}),
    "embeddings: parts": (EMBEDDINGS, EMBEDDER, {"messages": sources()}),
    "embeddings: texts": (
        None,
        EMBEDDER,
        {"messages": [], "body": {"input": ["one", "two"], "dimensions": 256, "encoding_format": "base64"}},
    ),
    "embeddings: texts of a column": (EMBEDDINGS, EMBEDDER, {"messages": [user(["one", "two", "three"])]}),
    "embeddings: tokens": (EMBEDDINGS, EMBEDDER, {"messages": [], "body": {"input": [1, 2, 3]}}),
    "embeddings: several of tokens": (EMBEDDINGS, EMBEDDER, {"messages": [], "params": {"input": [[1, 2], [3]]}}),
    "completions: a text": (COMPLETIONS, "gpt-3.5-turbo-instruct", {"messages": [user("Once upon")]}),
    "completions: told by the body": (
        None,
        "gpt-3.5-turbo-instruct",
        {"messages": [], "body": {"prompt": ["Once upon", "There was"], "max_tokens": 5}},
    ),
    "moderations: a text": (MODERATIONS, MODERATOR, {"messages": [user("I like you")]}),
    "moderations: a picture": (MODERATIONS, MODERATOR, {"messages": sources(image(PICTURE))}),
}
"""What is OpenAI's own, in ``openai-features.jsonl``: the endpoint as stated, the model, the ask."""


def openai_request(name: str) -> Request:
    """Return the request of the ask *name* that is OpenAI's own."""
    endpoint, model, parts = OPENAI[name]
    return OpenAIBatchHook("not_read").encode(custom_id(JOB, 1, list(OPENAI).index(name)), make(parts, model), endpoint)


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
    (GOLDEN / "anthropic-features.jsonl").write_bytes(b"".join(map(encode_own, ANTHROPIC)))
    (GOLDEN / "anthropic-caching.jsonl").write_bytes(b"".join(map(encode_cached, CACHED)))
    (GOLDEN / "openai-features.jsonl").write_bytes(b"".join(openai_request(name).line for name in OPENAI))


if __name__ == "__main__":
    write()
