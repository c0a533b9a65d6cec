"""One input row, and the key that names it for ever."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any

import msgspec

from airflow_provider_llmbatch.exceptions import InputError

RESERVED_PREFIX = "llm_"
"""Columns that start like this are ours; a record may not bring any."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """One input row.

    :ivar index: Position in the source, from 0. Output order is by index.
    :ivar key: The user's name for the record; the index as text where no ``key`` column was named.
    :ivar fields: The row itself.
    """

    index: int
    key: str
    fields: dict[str, Any]


def number(rows: Iterable[tuple[str, Mapping[str, Any]]], *, key: str | None) -> Iterator[Record]:
    """Give every row its index and key, and refuse what could not be matched again later.

    Keys are remembered as 8-byte hashes, so that ten million of them fit in memory.

    :param rows: Pairs of *where* (for messages: ``"reviews.csv, line 17"``) and the row.
    :param key: Column that names a record, or ``None`` for the index.
    :raises InputError: A reserved column, a missing key, or a key that came before.
    """
    seen: set[bytes] = set()
    for index, (where, row) in enumerate(rows):
        check_columns(row, where)
        if key is None:
            yield Record(index, str(index), dict(row))
            continue
        name = _key_of(row, key, where)
        digest = blake2b(name.encode(), digest_size=8).digest()
        if digest in seen:
            raise InputError(
                f"{where}: key {key!r} = {name!r} is a duplicate; a key names one record for ever. Nothing was sent. "
                "Remove the duplicate, or leave `key` out to name records by their position.",
                index=index,
                key=name,
            )
        seen.add(digest)
        yield Record(index, name, dict(row))


def check_columns(row: Mapping[str, Any], where: str) -> None:
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


def _key_of(row: Mapping[str, Any], key: str, where: str) -> str:
    value = row.get(key)
    if value is None or value == "":
        raise InputError(f"{where}: the key column {key!r} is missing or empty. Nothing was sent.", column=key)
    return str(value)
