"""Records in text files: JSON lines, plain or gzip, and CSV."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import IO, Any

import jsonlines
import msgspec

from airflow_provider_llmbatch.core import jsonl
from airflow_provider_llmbatch.core.records import BLOCK_BYTES, Rows, in_blocks
from airflow_provider_llmbatch.exceptions import SourceError

_MAX_CSV_FIELD = 2**31 - 1  # Python's own limit of 131,072 characters refuses a long review
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def read_jsonl(uri: str, file: IO[bytes] | gzip.GzipFile) -> Iterator[Rows]:
    """Yield the rows of JSON lines."""
    before = 0
    for text in _blocks(file):
        lines = text.split(b"\n")
        lines.pop()
        try:
            rows = list(map(_decode, lines))
        except jsonl.UNREADABLE:
            yield from in_blocks(_read_lines(uri, lines, before))  # blank lines, a byte order mark, or an error
        else:
            yield Rows(rows, partial(_line_of, uri, before + 1), text)
        before += len(lines)


def read_jsonl_gz(uri: str, file: IO[bytes]) -> Iterator[Rows]:
    """Yield the rows of JSON lines in a gzip file."""
    try:
        with gzip.open(file) as unzipped:
            yield from read_jsonl(uri, unzipped)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise SourceError(f"source {uri!r} is not whole: {error}. Nothing was sent.", uri=uri) from None


def _blocks(file: IO[bytes] | gzip.GzipFile) -> Iterator[bytes]:
    """Yield whole lines, many at once, each with its newline."""
    pieces: list[bytes] = []
    while chunk := file.read(BLOCK_BYTES):
        end = chunk.rfind(b"\n") + 1
        if end:
            yield b"".join([*pieces, memoryview(chunk)[:end]])
            pieces = []
        pieces.append(chunk[end:])
    rest = b"".join(pieces)
    if rest:
        yield rest + b"\n"


def _line_of(uri: str, first: int, place: int) -> str:
    return f"{uri}, line {first + place}"


def _read_lines(uri: str, lines: list[bytes], before: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the rows of some lines one by one, and say what is wrong with one that is none."""
    try:
        for number, row in jsonl.read(lines):
            if not isinstance(row, dict):
                raise _bad(uri, before + number, f": a record is a JSON object; this line is a {type(row).__name__}")
            yield _line_of(uri, before, number), row
    except jsonlines.InvalidLineError as error:
        reason = error.__cause__ or "null is not a record"
        raise _bad(uri, before + error.lineno, f" is not JSON: {reason}") from None


def read_csv(uri: str, file: IO[bytes]) -> Iterator[Rows]:
    """Yield the rows of CSV; every value is text."""
    return in_blocks(_csv_rows(uri, file))


def _csv_rows(uri: str, file: IO[bytes]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    csv.field_size_limit(_MAX_CSV_FIELD)
    reader = csv.DictReader(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""), strict=True)
    try:
        _check_header(uri, reader.fieldnames or ())
        for row in reader:
            if None in row or None in row.values():
                columns = len(reader.fieldnames or ())
                raise _bad(uri, reader.line_num, f" does not have the header's {columns} columns")
            yield f"{uri}, line {reader.line_num}", row
    except csv.Error as error:
        raise _bad(uri, reader.line_num + 1, f" is not CSV: {error}") from None
    except UnicodeDecodeError:
        raise _bad(uri, _first_not_utf8(file), " is not UTF-8; save the file as UTF-8") from None


def _check_header(uri: str, names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise _bad(uri, 1, f" names {', '.join(map(repr, twice))} more than once; only one would survive")


def _bad(uri: str, line: int, what: str) -> SourceError:
    return SourceError(f"{uri}, line {line}{what}. Nothing was sent. Correct or remove the line.", uri=uri, line=line)


def _first_not_utf8(file: IO[bytes]) -> int:
    """Return the number of the first line that is not UTF-8: the reader decodes blocks and cannot tell."""
    file.seek(0)
    for number, line in enumerate(file, 1):
        try:
            line.decode()
        except UnicodeDecodeError:
            return number
    return 1
