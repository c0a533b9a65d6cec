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
