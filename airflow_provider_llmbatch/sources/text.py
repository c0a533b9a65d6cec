"""Records in text files: JSON lines, plain or gzip, and CSV."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, Any

import jsonlines

from airflow_provider_llmbatch.core import jsonl
from airflow_provider_llmbatch.exceptions import SourceError

_MAX_CSV_FIELD = 2**31 - 1  # Python's own limit of 131,072 characters refuses a long review


def read_jsonl(uri: str, file: Iterable[bytes]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the rows of JSON lines."""
    try:
        for number, row in jsonl.read(file):
            if not isinstance(row, dict):
                raise _bad(uri, number, f": a record is a JSON object; this line is a {type(row).__name__}")
            yield f"{uri}, line {number}", row
    except jsonlines.InvalidLineError as error:
        reason = error.__cause__ or "null is not a record"
        raise _bad(uri, error.lineno, f" is not JSON: {reason}") from None


def read_jsonl_gz(uri: str, file: IO[bytes]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the rows of JSON lines in a gzip file."""
    try:
        yield from read_jsonl(uri, _unzipped(file))
    except (gzip.BadGzipFile, zlib.error) as error:
        raise SourceError(f"source {uri!r} is not whole: {error}. Nothing was sent.", uri=uri) from None


def read_csv(uri: str, file: IO[bytes]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the rows of CSV; every value is text."""
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


def _unzipped(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines of a gzip file. One that was cut raises EOFError, which ``jsonlines`` takes for the end."""
    try:
        with gzip.open(file) as lines:
            yield from lines
    except EOFError as error:
        raise gzip.BadGzipFile(str(error)) from None


def _first_not_utf8(file: IO[bytes]) -> int:
    """Return the number of the first line that is not UTF-8: the reader decodes blocks and cannot tell."""
    file.seek(0)
    for number, line in enumerate(file, 1):
        try:
            line.decode()
        except UnicodeDecodeError:
            return number
    return 1
