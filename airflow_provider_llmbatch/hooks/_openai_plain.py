"""The ordinary answer, as most lines hold it: read in one step, its types being the conditions.

Every other line, and one that is damaged, does not fit the types; it is read with care by ``_openai_answers``.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

from airflow_provider_llmbatch.core.jsonl import UNREADABLE
from airflow_provider_llmbatch.core.results import NO_USAGE, Result, Usage

_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
_Name: TypeAlias = Annotated[str, msgspec.Meta(min_length=1)]
_Nothing: TypeAlias = Annotated[list[msgspec.Raw], msgspec.Meta(max_length=0)]


class _Into(msgspec.Struct, frozen=True, gc=False):
    cached_tokens: _Count = 0
    cache_write_tokens: _Count = 0


class _OutOf(msgspec.Struct, frozen=True, gc=False):
    reasoning_tokens: _Count = 0


class _ChatUsage(msgspec.Struct, gc=False):
    prompt_tokens: _Count
    completion_tokens: _Count
    prompt_tokens_details: _Into = _Into()
    completion_tokens_details: _OutOf = _OutOf()

    def plain(self) -> Usage:
        into, out_of = self.prompt_tokens_details, self.completion_tokens_details
        return _usage(self.prompt_tokens, into, self.completion_tokens, out_of)


class _ResponseUsage(msgspec.Struct, gc=False):
    input_tokens: _Count
    output_tokens: _Count
    input_tokens_details: _Into = _Into()
    output_tokens_details: _OutOf = _OutOf()

    def plain(self) -> Usage:
        return _usage(self.input_tokens, self.input_tokens_details, self.output_tokens, self.output_tokens_details)


def _usage(given: int, into: _Into, made: int, out_of: _OutOf) -> Usage:
    return Usage(
        input=given,
        cached_input=into.cached_tokens,
        cache_write=into.cache_write_tokens,
        output=made,
        reasoning=out_of.reasoning_tokens,
    )


class _ChatMessage(msgspec.Struct, gc=False):
    content: str
    refusal: None = None
    tool_calls: None = None
    function_call: None = None
    reasoning_content: None = None
    reasoning: None = None


class _Choice(msgspec.Struct, gc=False):
    message: _ChatMessage
    finish_reason: Literal["stop"]


class _Chat(msgspec.Struct, gc=False, tag_field="object", tag="chat.completion"):
    model: _Name
    choices: tuple[_Choice]
    usage: _ChatUsage | None = None

    def plain(self) -> Result:
        usage = self.usage.plain() if self.usage else NO_USAGE
        text = self.choices[0].message.content
        return Result(status="succeeded", output=text, finish_reason="stop", model=self.model, usage=usage)


class _Text(msgspec.Struct, gc=False):
    type: Literal["output_text"]
    text: str


class _Message(msgspec.Struct, gc=False, tag="message"):
    content: tuple[_Text]


class _Reasoning(msgspec.Struct, gc=False, tag="reasoning"):
    """Thoughts that OpenAI keeps to itself."""

    summary: _Nothing = []
    content: None = None


class _Response(msgspec.Struct, gc=False, tag_field="object", tag="response"):
    model: _Name
    status: Literal["completed"]
    output: list[_Message | _Reasoning]
    incomplete_details: None = None
    usage: _ResponseUsage | None = None

    def plain(self) -> Result | None:
        said = [item for item in self.output if isinstance(item, _Message)]
        if len(said) != 1:
            return None
        usage = self.usage.plain() if self.usage else NO_USAGE
        text = said[0].content[0].text
        return Result(status="succeeded", output=text, finish_reason="completed", model=self.model, usage=usage)


class _Reply(msgspec.Struct, gc=False):
    status_code: Literal[200]
    body: _Chat | _Response


class _Line(msgspec.Struct, gc=False):
    custom_id: str
    response: _Reply
    error: None = None


_decode = msgspec.json.Decoder(_Line).decode


def read_plain(line: bytes) -> tuple[str, Result] | None:
    """Return the custom id and the result of an ordinary good answer, or ``None`` if *line* is anything else."""
    try:
        found = _decode(line)
    except UNREADABLE:
        return None
    result = found.response.body.plain()
    return (found.custom_id, result) if result else None
