"""Read a JSON document value by value, through a window: a body of 256 MB needs no 256 MB of memory."""

from __future__ import annotations

import re
from typing import BinaryIO

import msgspec

WINDOW_BYTES = 1 << 20
_END = re.compile(r"trailing characters \(byte (\d+)\)")
_AT = re.compile(r"\(byte (\d+)\)")
_LONGEST_ESCAPE = len(r"\ud83d\ude00")
_SPACE = re.compile(rb"[ \t\r\n]*")


class Scanner:
    """A cursor in a JSON document.

    Where a value ends, msgspec tells by complaining of what follows it.  That costs one pass over the value at the
    speed of C, and no second opinion on what JSON is.
    """

    def __init__(self, stream: BinaryIO, window: int = WINDOW_BYTES) -> None:
        self.stream = stream
        self.window = window
        self.buffer = stream.read(window)
        self.at = 0

    def peek(self) -> bytes:
        """Return the next character that is not white space; empty at the end."""
        while True:
            found = _SPACE.match(self.buffer, self.at)
            self.at = found.end() if found else self.at
            if self.at < len(self.buffer):
                return self.buffer[self.at : self.at + 1]
            if not self._more():
                return b""

    def take(self, *expected: bytes) -> bytes:
        """Return the next character, which must be one of *expected*, and go past it.

        :raises msgspec.DecodeError: It is another one.
        """
        char = self.peek()
        if char not in expected:
            raise msgspec.DecodeError(
                f"JSON is malformed: expected {expected[0].decode()!r}, got {char.decode('latin-1')!r}"
            )
        self.at += 1
        return char

    def value(self) -> bytes:
        """Return the next value as it is written, and go past it.

        :raises msgspec.DecodeError: There is none.
        """
        self.peek()
        while True:
            try:
                msgspec.json.decode(memoryview(self.buffer)[self.at :], type=msgspec.Raw)
            except msgspec.DecodeError as error:
                end = _END.search(str(error))
                if end:
                    # It counts the offending character in.
                    return self._cut(int(end.group(1)) - 1)
                if not self._may_be_cut(str(error)) or not self._more():
                    raise
            else:
                # The value ends where the window does: it may go on behind it.
                if not self._more():
                    return self._cut(len(self.buffer) - self.at)

    def _may_be_cut(self, error: str) -> bool:
        """Return whether *error* is at the very end of the window, where a number or an escape may go on."""
        at = _AT.search(error)
        return "truncated" in error or bool(at and int(at.group(1)) + _LONGEST_ESCAPE > len(self.buffer) - self.at)

    def _cut(self, length: int) -> bytes:
        start, self.at = self.at, self.at + length
        return self.buffer[start : self.at].rstrip()

    def _more(self) -> bool:
        """Move the window on, and widen it for a value that does not fit."""
        rest = self.buffer[self.at :]
        piece = self.stream.read(max(self.window, len(rest)))
        self.buffer, self.at = rest + piece, 0
        return bool(piece)
