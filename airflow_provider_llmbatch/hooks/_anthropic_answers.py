"""What comes back from Anthropic: messages, and what their reasons to stop mean."""

from __future__ import annotations

from typing import Any

from airflow_provider_llmbatch.core.results import NO_USAGE, TRUNCATED, Result, RowStatus, ToolCall, Usage
from airflow_provider_llmbatch.hooks._anthropic_errors import REMEDIES

_STOPS: dict[str, tuple[RowStatus, str, str]] = {
    "refusal": ("errored", "refusal", "The model refused"),
    "max_tokens": ("invalid", TRUNCATED, "The answer reached its max_tokens"),
    "model_context_window_exceeded": (
        "invalid",
        "model_context_window_exceeded",
        "Question and answer filled the model's context window",
    ),
    "pause_turn": ("errored", "pause_turn", "The vendor's own tools took too many steps and the turn was paused"),
    "compaction": ("errored", "compaction", "The turn was paused once its conversation was compacted"),
}
"""Reasons to stop that are no success, though the vendor says ``succeeded`` and bills them (FACTS §2.4).

A paused turn goes on only with its own blocks sent back, which is a conversation and no batch. Asked again as it is, it
would be paid for again and pause again; with fewer steps to take it may come to its end: that is a change.
"""


def read_message(message: dict[str, Any]) -> Result:
    """Read a message that the vendor calls a success."""
    blocks = message.get("content") or []
    text = "".join(_all(blocks, "text", "text"))
    reason = message.get("stop_reason")
    facts: dict[str, Any] = {
        "finish_reason": reason,
        "model": message.get("model"),
        "usage": read_usage(message.get("usage")),
        "thinking": "\n\n".join(_all(blocks, "thinking", "thinking")) or None,
        "is_full_price": (message.get("usage") or {}).get("service_tier") not in (None, "batch"),
    }
    if reason in _STOPS:
        status, code, why = _STOPS[reason]
        return Result(
            status=status,
            output=text or None,
            error_code=code,
            error_message=f"{why}{_explanation(message)}; what came was billed.",
            remedy=REMEDIES[code],
            **facts,
        )
    # Calls stand in a complete answer only: those of one that was cut off may lack half of their arguments.
    calls = [_call(block) for block in blocks if block.get("type") == "tool_use"]
    return Result(status="succeeded", output=text or (None if calls else ""), tool_calls=calls or None, **facts)


def _all(blocks: list[dict[str, Any]], kind: str, name: str) -> list[str]:
    """Return the texts of one kind of block. Thinking that the vendor keeps to itself is another kind, or empty."""
    return [block[name] for block in blocks if block.get("type") == kind and block.get(name)]


def _call(block: dict[str, Any]) -> ToolCall:
    return ToolCall(block.get("id"), str(block.get("name") or ""), block.get("input"))


def _explanation(message: dict[str, Any]) -> str:
    details = message.get("stop_details") or {}
    words = [str(details[name]) for name in ("category", "explanation") if details.get(name)]
    return f" ({': '.join(words)})" if words else ""


def read_usage(usage: dict[str, Any] | None) -> Usage:
    """Read token counts. Anthropic's ``input_tokens`` are the uncached ones only; ours are all of them (FACTS §2.4)."""
    if not usage:
        return NO_USAGE
    cached = usage.get("cache_read_input_tokens") or 0
    written = usage.get("cache_creation_input_tokens") or 0
    return Usage(
        input=(usage.get("input_tokens") or 0) + cached + written,
        cached_input=cached,
        cache_write=written,
        cache_write_1h=(usage.get("cache_creation") or {}).get("ephemeral_1h_input_tokens") or 0,
        output=usage.get("output_tokens") or 0,
        reasoning=(usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0,
    )
