"""What is asked and what is answered, free of any vendor's wording."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

IMAGE_TOKENS = 1_000
"""Input tokens of one image, whatever its size."""
DOCUMENT_TOKENS = 2_000
"""Input tokens of one PDF or other document, whatever its size."""


class Tool(msgspec.Struct, frozen=True):
    """A function that the model may call."""

    name: str
    schema: dict[str, Any]
    description: str = ""


class Ask(msgspec.Struct):
    """One question to the model."""

    model: str
    text: str = ""
    """The last user turn: what is to be answered or labelled."""
    system: str = ""
    """Everything that instructs: system and developer messages."""
    parts: list[str] = []
    """All text of the prompt in order: tools and schema as JSON, instructions, turns."""
    extra_tokens: int = 0
    """Tokens of images and documents."""
    limit: int | None = None
    """Most tokens that the answer may have."""
    stops: tuple[str, ...] = ()
    schema: dict[str, Any] | None = None
    wants_json: bool = False
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    """``auto``, ``none``, ``required``, or the name of a tool."""
    reasoning: int = 0
    """Tokens to be spent on reasoning before the answer."""
    answers: int = 1
    """How many answers are wanted (OpenAI's ``n``)."""

    @property
    def tokens(self) -> int:
        """Input tokens."""
        return count_tokens(sum(map(count_bytes, self.parts))) + self.extra_tokens

    @property
    def prompt(self) -> bytes:
        """The whole prompt, whose beginnings a cache remembers."""
        return "\n".join(self.parts).encode("utf-8", "surrogatepass")


Stop = Literal["stop", "length", "tool", "sequence", "refusal"]


class Thought(msgspec.Struct):
    """What the model answers."""

    text: str
    stop: Stop = "stop"
    tool: Tool | None = None
    arguments: dict[str, Any] | None = None
    sequence: str | None = None
    """The stop sequence that ended the answer."""
    tokens: int = 0
    """Output tokens, reasoning included."""
    reasoning: int = 0


def count_bytes(text: str) -> int:
    """Return the length of *text* in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def count_tokens(size: int) -> int:
    """Return how many tokens *size* bytes of text make: one for every four, and a last one for the rest.

    No vendor's tokenizer works like that; what matters is that usage, bills and queues all count alike.
    """
    return -(-size // 4)
