"""Tokens of one answer, and sums of them."""

from __future__ import annotations

import msgspec


class Usage(msgspec.Struct, frozen=True):
    """Tokens by price.  *input* counts every input token once, whether it came from a cache or not."""

    input: int = 0
    cached: int = 0
    """Of *input*: read from a cache."""
    write_5m: int = 0
    """Of *input*: written to a cache for 5 minutes (Anthropic), or for its usual time (OpenAI)."""
    write_1h: int = 0
    """Of *input*: written to a cache for an hour."""
    output: int = 0
    reasoning: int = 0
    """Of *output*: spent on reasoning."""

    def __add__(self, other: Usage) -> Usage:
        mine, theirs = msgspec.structs.astuple(self), msgspec.structs.astuple(other)
        return Usage(*map(int.__add__, mine, theirs))

    @property
    def fresh(self) -> int:
        """Input tokens that no cache had to do with."""
        return self.input - self.cached - self.write_5m - self.write_1h


NOTHING = Usage()
FIELDS = Usage.__struct_fields__
