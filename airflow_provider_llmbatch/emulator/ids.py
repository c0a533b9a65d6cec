"""Ids that look like the vendors' and are the same in every run with the same seed."""

from __future__ import annotations

import hashlib

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def digest(*parts: object) -> str:
    """Return 64 hexadecimal digits that depend on *parts* alone."""
    return hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=32).hexdigest()


def fraction(*parts: object) -> float:
    """Return a number in [0, 1) that depends on *parts* alone."""
    return int(digest(*parts)[:13], 16) / 16**13


def letters(hexadecimal: str, length: int) -> str:
    """Rewrite hexadecimal digits as *length* letters and digits, as both vendors' ids have them."""
    number = int(hexadecimal, 16)
    out = []
    for _ in range(length):
        number, rest = divmod(number, 62)
        out.append(_ALPHABET[rest])
    return "".join(out)


def make_id(kind: str, *parts: object) -> str:
    """Return an id of *kind*: ``batch_`` and 32 hexadecimal digits, ``file-`` and 22 letters, else ``<kind>_01…``."""
    mark = digest(kind, *parts)
    if kind == "batch":
        return f"batch_{mark[:32]}"
    if kind == "file":
        return f"file-{letters(mark, 22)}"
    return f"{kind}_01{letters(mark, 22)}"
