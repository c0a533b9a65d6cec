"""Content blocks, and the cache breakpoints on them."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from airflow_provider_llmbatch.emulator.anthropic.params import (
    NEW_VERSION,
    Body,
    Rules,
    bad,
    check_base64,
    need,
    one_of,
    typed,
)
from airflow_provider_llmbatch.emulator.ids import digest
from airflow_provider_llmbatch.emulator.mind.ask import DOCUMENT_TOKENS, IMAGE_TOKENS, Ask
from airflow_provider_llmbatch.emulator.wire import words

MAX_BREAKPOINTS = 4
_IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_IGNORED = words(
    "redacted_thinking server_tool_use web_search_tool_result web_fetch_tool_result code_execution_tool_result "
    "bash_code_execution_tool_result text_editor_code_execution_tool_result tool_search_tool_result container_upload "
    "search_result"
)
_TYPES = ("text", "image", "document", "thinking", "tool_use", "tool_result")


class Breakpoint(NamedTuple):
    """A place up to which the prompt is to be cached."""

    parts: int
    """How many parts of the prompt lie before it."""
    extra_tokens: int
    """Tokens of images and documents before it."""
    long: bool
    """Whether for an hour rather than for 5 minutes."""


class Question(Ask):
    """What a Messages body asks."""

    breakpoints: list[Breakpoint] = msgspec.field(default_factory=list)
    cache_tokens: int = 1_024
    """Shortest prefix that the model caches."""


def mark(question: Question, holder: Any, where: str) -> None:
    """Note the breakpoint on *holder*, if there is one."""
    control = holder.get("cache_control") if isinstance(holder, dict) else None
    if control is None:
        return
    where = f"{where}.cache_control" if where else "cache_control"
    one_of(need(typed(control, where, dict), "type", str, path=f"{where}."), f"{where}.type", ("ephemeral",))
    ttl = one_of(control.get("ttl", "5m"), f"{where}.ttl", ("5m", "1h"))
    if ttl == "1h" and any(not point.long for point in question.breakpoints):
        raise bad(f"{where}.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block.")
    question.breakpoints.append(Breakpoint(len(question.parts), question.extra_tokens, ttl == "1h"))
    if len(question.breakpoints) > MAX_BREAKPOINTS:
        raise bad(
            f"A maximum of {MAX_BREAKPOINTS} blocks with cache_control may be provided. "
            f"Found {len(question.breakpoints)}."
        )


def read_content(question: Question, content: Any, where: str, role: str, rules: Rules) -> str:
    """Read a turn's content and return its text."""
    if isinstance(content, str):
        question.parts.append(content)
        return content
    texts = []
    for number, block in enumerate(typed(content, where, str, list)):
        here = f"{where}.{number}"
        text = _read_block(question, typed(block, here, dict), here, role, rules)
        if text:
            texts.append(text)
        mark(question, block, here)
    return "\n".join(texts)


def _read_block(question: Question, block: Body, where: str, role: str, rules: Rules) -> str:
    kind = need(block, "type", str, path=f"{where}.")
    if kind == "text":
        return _read_text(question, block, where, role, rules)
    if kind in ("image", "document"):
        _read_source(question, block, kind, where, role, rules)
        return ""
    if kind == "tool_result":
        need(block, "tool_use_id", str, path=f"{where}.")
        # The tool has been called already: now its result is to be put into words.
        question.tool_choice = "none"
        return read_content(question, block.get("content") or "", f"{where}.content", role, rules)
    if kind == "tool_use":
        question.parts.append(str(need(block, "input", dict, path=f"{where}.")))
    elif kind == "thinking":
        question.parts.append(need(block, "thinking", str, path=f"{where}."))
    elif kind in _IGNORED:
        question.parts.append(str(block))
    else:
        one_of(kind, f"{where}.type", _TYPES)
    return ""


def _read_text(question: Question, block: Body, where: str, role: str, rules: Rules) -> str:
    text: str = need(block, "text", str, path=f"{where}.text.")
    if not text:
        raise bad(f"{where}.text: text content blocks must be non-empty")
    if rules.version >= NEW_VERSION and role == "user" and block.get("citations"):
        raise bad(f"{where}.citations: citations are not permitted on user text blocks")
    question.parts.append(text)
    return text


def _read_source(question: Question, block: Body, kind: str, where: str, role: str, rules: Rules) -> None:
    """Read an image or a document by URL, inline, or by file id."""
    if kind == "document" and role == "assistant" and rules.version >= NEW_VERSION:
        raise bad(f"{where}: document blocks are not permitted in assistant turns")
    source = need(block, "source", dict, path=f"{where}.")
    where = f"{where}.source"
    ways = ("base64", "url", "file") if kind == "image" else ("base64", "url", "file", "text", "content")
    way = one_of(need(source, "type", str, path=f"{where}."), f"{where}.type", ways)
    if way == "base64":
        types = _IMAGE_TYPES if kind == "image" else ("application/pdf",)
        one_of(need(source, "media_type", str, path=f"{where}.base64."), f"{where}.base64.media_type", types)
        check_base64(need(source, "data", str, path=f"{where}.base64."), f"{where}.base64")
    elif way == "url":
        if not need(source, "url", str, path=f"{where}.url.").startswith(("https://", "http://")):
            raise bad(f"{where}.url.url: Only HTTPS URLs are supported.")
    elif way == "file":
        file_id = need(source, "file_id", str, path=f"{where}.file.")
        if not rules.knows_file(file_id):
            raise bad(f"{where}.file: File not found: {file_id}")
    elif way == "text":
        question.parts.append(need(source, "data", str, path=f"{where}.text."))
        return
    question.extra_tokens += IMAGE_TOKENS if kind == "image" else DOCUMENT_TOKENS
    # A short mark stands for the bytes, so that a cached prefix knows one picture from another.
    question.parts.append(digest(source)[:8])
