"""One input row, and the key that names it for ever.

Rows are handled in blocks of a quarter of a megabyte: a call per row and step would be most of the time of a large job.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from airflow_provider_llmbatch.exceptions import InputError

RESERVED_PREFIX = "llm_"
"""Columns that start like this are ours; a record may not bring any."""
BLOCK_BYTES = 1 << 18
"""About as much text is in one block; a single row may be larger."""
BLOCK_ROWS = 1000


class Record(msgspec.Struct, frozen=True, gc=False):
    """One input row.

    :ivar index: Position in the source, from 0. Output order is by index.
    :ivar key: The user's name for the record; the index as text where no ``key`` column was named.
    :ivar fields: The row itself.
    """

    index: int
    key: str
    fields: dict[str, Any]


class Rows(NamedTuple):
    """Some rows of a source, in order.

    :ivar rows: Their columns and values.
    :ivar where: Tells from a row's position among these where it stands in the source, for messages.
    :ivar lines: The very same rows as lines of JSON, each with its newline, if the source has them so.
    """

    rows: Sequence[Mapping[str, Any]]
    where: Callable[[int], str]
    lines: bytes | None = None


class Block(NamedTuple):
    """Consecutive records.

    :ivar first: Index of the first one.
    :ivar rows: Their fields.
    :ivar keys: Their keys; ``None`` where the index is the key.
    :ivar shapes: Their columns, each set of them once, that no earlier block had.
    :ivar lines: As in :class:`Rows`.
    """

    first: int
    rows: Sequence[Mapping[str, Any]]
    keys: Sequence[str] | None = None
    shapes: Sequence[tuple[str, ...]] = ()
    lines: bytes | None = None

    def records(self) -> Iterator[Record]:
        """Yield them one by one."""
        for place, row in enumerate(self.rows):
            index = self.first + place
            yield Record(index, self.keys[place] if self.keys else str(index), dict(row))

    def part(self, start: int, stop: int) -> Block:
        """Return the records from position *start* up to *stop*, without their lines."""
        return Block(self.first + start, self.rows[start:stop], self.keys[start:stop] if self.keys else None)


def number(source: Iterable[Rows], *, key: str | None) -> Iterator[Block]:
    """Give every row its index and key, and refuse what could not be matched again later.

    That no key comes twice is not looked at here.

    :param key: Column that names a record, or ``None`` for the index.
    :raises InputError: A reserved column, or a missing key.
    """
    known: set[tuple[str, ...]] = set()
    first = 0
    for rows, where, lines in source:
        shapes: list[tuple[str, ...]] = []
        if set(map(tuple, rows)) - known:
            for place, row in enumerate(rows):
                if tuple(row) not in known:
                    check_columns(row, where(place))
                    shapes.append(tuple(row))
                    known.add(shapes[-1])
        keys = None if key is None else [key_of(row, key, where(place)) for place, row in enumerate(rows)]
        yield Block(first, rows, keys, shapes, lines)
        first += len(rows)


def check_columns(row: Iterable[object], where: str) -> None:
    """Refuse columns whose names are not text or are ours.

    :raises InputError: Names the column and where it stands.
    """
    for column in row:
        if not isinstance(column, str):
            raise InputError(f"{where}: column name {column!r} is not text. Nothing was sent.")
        if column.startswith(RESERVED_PREFIX):
            raise InputError(
                f"{where}: column {column!r} is reserved: columns that start with {RESERVED_PREFIX!r} are written by "
                "this operator. Nothing was sent. Rename the column.",
                column=column,
            )


def key_of(row: Mapping[str, Any], key: str, where: str) -> str:
    """Return what names *row*.

    :raises InputError: It has no value in the column *key*.
    """
    value = row.get(key)
    if value is None or value == "":
        raise InputError(f"{where}: the key column {key!r} is missing or empty. Nothing was sent.", column=key)
    return str(value)


def end_with_text(lines: Sequence[bytes]) -> bool:
    """Return whether text is the last value of each record, as of most, and no blank follows.

    :param lines: The records, as lines of JSON.
    """
    return b"".join(lines).count(b'"}\n') == len(lines)  # no newline is within one


def in_blocks(rows: Iterable[tuple[str, Mapping[str, Any]]]) -> Iterator[Rows]:
    """Gather pairs of *where* and a row into blocks."""
    places: list[str] = []
    block: list[Mapping[str, Any]] = []
    size = 0
    for where, row in rows:
        places.append(where)
        block.append(row)
        size += sum(map(_size, row.values()))
        if size >= BLOCK_BYTES or len(block) >= BLOCK_ROWS:
            yield Rows(block, places.__getitem__)
            places, block, size = [], [], 0
    if block:
        yield Rows(block, places.__getitem__)


def _size(value: Any) -> int:
    """Return about how much memory *value* takes, in bytes."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(map(_size, value.values()))
    if isinstance(value, (list, tuple)):
        return sum(map(_size, value))
    return 8
