"""The ordinary answer, as most lines hold it: read in one step, its types being the conditions.

Every other line, and one that is damaged, does not fit the types; it is read with care by ``_anthropic_answers``.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

from airflow_provider_llmbatch.core.jsonl import UNREADABLE
from airflow_provider_llmbatch.core.results import NO_USAGE, Result, Usage

_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]


class _Written(msgspec.Struct, gc=False):
    ephemeral_1h_input_tokens: _Count = 0


class _OutOf(msgspec.Struct, frozen=True, gc=False):
    thinking_tokens: _Count = 0


class _Usage(msgspec.Struct, gc=False):
    input_tokens: _Count
    output_tokens: _Count
    cache_read_input_tokens: _Count | None = 0
    cache_creation_input_tokens: _Count | None = 0
    cache_creation: _Written | None = None
    output_tokens_details: _OutOf | None = None
    service_tier: Literal["batch"] | None = None

    def plain(self) -> Usage:
        """Add up the input: Anthropic's ``input_tokens`` are the uncached ones only (FACTS §2.4)."""
        cached, written = self.cache_read_input_tokens or 0, self.cache_creation_input_tokens or 0
        return Usage(
            input=self.input_tokens + cached + written,
            cached_input=cached,
            cache_write=written,
            cache_write_1h=self.cache_creation.ephemeral_1h_input_tokens if self.cache_creation else 0,
            output=self.output_tokens,
            reasoning=self.output_tokens_details.thinking_tokens if self.output_tokens_details else 0,
        )


class _Text(msgspec.Struct, gc=False):
    type: Literal["text"]
    text: str


class _Message(msgspec.Struct, gc=False):
    model: str
    content: tuple[_Text]
    stop_reason: Literal["end_turn"]
    usage: _Usage | None = None


class _Succeeded(msgspec.Struct, gc=False):
    type: Literal["succeeded"]
    message: _Message


class _Line(msgspec.Struct, gc=False):
    custom_id: str
    result: _Succeeded


_decode = msgspec.json.Decoder(_Line).decode


def read_plain(line: bytes) -> tuple[str, Result] | None:
    """Return the custom id and the result of an ordinary good answer, or ``None`` if *line* is anything else."""
    try:
        found = _decode(line)
    except UNREADABLE:
        return None
    message = found.result.message
    usage = message.usage.plain() if message.usage else NO_USAGE
    text = message.content[0].text
    return found.custom_id, Result(
        status="succeeded", output=text, finish_reason="end_turn", model=message.model, usage=usage
    )
