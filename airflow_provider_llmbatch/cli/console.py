"""What the command line writes: tables for a person, JSON for another program."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TextIO


class Console:
    """A log that a person reads: news on stdout, trouble on stderr."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self.warnings = 0

    def info(self, event: str, *args: Any) -> None:
        print(event % args if args else event, file=self._out)

    def warning(self, event: str, *args: Any) -> None:
        self.warnings += 1
        print(event % args if args else event, file=sys.stderr)


@contextmanager
def own_stdout() -> Iterator[TextIO]:
    """Give stdout, and send what anybody else prints to stderr.

    Airflow 3 logs to stdout; ours is a table, or JSON for another program.
    """
    theirs = sys.stdout
    theirs.flush()
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as ours:
        os.dup2(2, 1)
        try:
            yield ours
        finally:
            theirs.flush()
            os.dup2(ours.fileno(), 1)


def money(summary: dict[str, Any]) -> str:
    """Say what a finished job cost."""
    cost = summary.get("cost_usd")
    return "an unknown amount" if cost is None else f"{cost} USD"


def as_time(seconds: float | None) -> str | None:
    """Write epoch seconds in UTC."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def cell(value: Any) -> str:
    """Write a value as a table shows it."""
    if isinstance(value, dict):
        return ", ".join(f"{count:,} {name}" for name, count in value.items()) or "-"
    if isinstance(value, int):
        return f"{value:,}"
    return "-" if value is None or value == "" else str(value)


def print_json(console: Console, lines: Iterable[dict[str, Any]]) -> None:
    """Write one object per line."""
    for line in lines:
        console.info(json.dumps(line, ensure_ascii=False))


def print_table(console: Console, names: Sequence[str], rows: list[list[str]], indent: str = "") -> None:
    """Write *rows* in columns as wide as they need."""
    table = [[name.replace("_", " ").upper() for name in names], *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(names))]
    for row in table:
        console.info(indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def confirmed(question: str) -> bool:
    """Ask the person at the terminal; nobody there is a no."""
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False
