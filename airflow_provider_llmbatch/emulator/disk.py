"""Files that are either whole or not there: a killed process leaves nothing half-written behind."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


def write(path: Path, document: Any) -> None:
    """Write *document* as JSON under a temporary name, then rename it."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(msgspec.json.encode(document))
    temporary.replace(path)


def read(path: Path, kind: type[T]) -> T | None:
    """Return the document at *path*, or ``None`` if there is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None


def append(path: Path, document: Any) -> None:
    """Append *document* as one line, in one system call."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, msgspec.json.encode(document) + b"\n")
    finally:
        os.close(descriptor)


def lines(path: Path, kind: type[T]) -> Iterator[T]:
    """Yield the documents of a file of lines; a last line that was cut by a kill is left out."""
    if not path.exists():
        return
    with path.open("rb") as stream:
        for line in stream:
            if line.endswith(b"\n"):
                with contextlib.suppress(msgspec.DecodeError):
                    yield msgspec.json.decode(line, type=kind)
