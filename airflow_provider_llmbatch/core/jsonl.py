"""Lines of JSON, split at ``\\n`` and nowhere else: a raw U+2028 or U+0085 inside a text is data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import jsonlines
import msgspec


def read(file: Iterable[bytes]) -> Iterator[tuple[int, Any]]:
    """Yield the number and value of every non-empty line of a binary file.

    :raises jsonlines.InvalidLineError: A line is not JSON; it carries the line's number.
    """
    number = 0

    def counted() -> Iterator[bytes]:
        nonlocal number
        for line in file:
            number += 1
            yield line

    for value in jsonlines.Reader(counted(), loads=_loads).iter(skip_empty=True):
        yield number, value


def _loads(text: str | bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:  # no ValueError in msgspec 0.19, and jsonlines knows no other
        raise ValueError(str(error)) from None


UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding damaged bytes raises; the last one where they nest too deep."""

_BREAKS = {"\u2028": b"\\u2028", "\u2029": b"\\u2029", "\x85": b"\\u0085"}
"""Characters that JSON allows in a text and that end a line for some readers: a vendor that splits there would refuse
the whole batch, so they are written as escapes."""
_encode = msgspec.json.Encoder().encode


def encode_line(value: Any) -> bytes:
    """Return *value* as one line of JSON, with its newline."""
    return safe(_encode(value)) + b"\n"


def safe(lines: bytes) -> bytes:
    """Return lines of JSON with an escape in place of every character that ends a line for some readers."""
    if not lines.isascii():
        for character, escape in _BREAKS.items():
            lines = lines.replace(character.encode(), escape)
    return lines
