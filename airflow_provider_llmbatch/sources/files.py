"""Records in a file on any storage: JSON lines (plain or gzip) and CSV."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

import jsonlines

from airflow_provider_llmbatch._compat import ObjectStoragePath
from airflow_provider_llmbatch.core import jsonl
from airflow_provider_llmbatch.exceptions import SourceError

SUFFIXES = (".jsonl", ".ndjson", ".jsonl.gz", ".csv")
_MAX_CSV_FIELD = 2**31 - 1  # Python's own limit of 131,072 characters refuses a long review
_CHANGED = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "created")
"""What file systems call the mark of a file's version, the most telling first."""


class FileSource:
    """One file, read as a stream.

    :param uri: Any scheme that Airflow's ``ObjectStoragePath`` takes; a bare path is a file path.
    :raises SourceError: The suffix is none of :data:`SUFFIXES`.
    """

    def __init__(self, uri: str) -> None:
        if not uri.lower().endswith(SUFFIXES):
            raise SourceError(
                f"source {uri!r}: its suffix must be one of {', '.join(SUFFIXES)}. Nothing was sent.", uri=uri
            )
        self.uri = uri

    def __repr__(self) -> str:
        return f"FileSource({self.uri!r})"

    def identity(self) -> dict[str, Any]:
        """Return the file's address, size and time of change or etag."""
        info = self._stat()
        changed = next((info[name] for name in _CHANGED if name in info), "")
        return {"kind": "file", "uri": self.uri, "size": info.get("size"), "changed": str(changed)}

    def rows(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the file's rows in order."""
        self._stat()
        read = self._csv if self.uri.lower().endswith(".csv") else self._jsonl
        path = ObjectStoragePath(self.uri)
        with path.fs.open(path.path, "rb") as file:
            yield from read(file)

    def _stat(self) -> Mapping[str, Any]:
        try:
            path = ObjectStoragePath(self.uri)
            info: Mapping[str, Any] = path.fs.info(path.path)
        except (FileNotFoundError, NotADirectoryError):
            raise SourceError(f"source {self.uri!r} is not there. Nothing was sent.", uri=self.uri) from None
        except ValueError as error:  # no installed package serves the scheme
            raise SourceError(
                f"source {self.uri!r} cannot be opened: {error}. Nothing was sent.", uri=self.uri
            ) from None
        if info.get("type") == "directory":
            raise SourceError(f"source {self.uri!r} is a folder, not a file. Nothing was sent.", uri=self.uri)
        return info

    def _jsonl(self, file: IO[bytes]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        lines = _unzipped(file) if self.uri.lower().endswith(".gz") else file
        try:
            for number, row in jsonl.read(lines):
                if not isinstance(row, dict):
                    raise self._bad(number, f": a record is a JSON object; this line is a {type(row).__name__}")
                yield f"{self.uri}, line {number}", row
        except jsonlines.InvalidLineError as error:
            reason = error.__cause__ or "null is not a record"
            raise self._bad(error.lineno, f" is not JSON: {reason}") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise SourceError(f"source {self.uri!r} is not whole: {error}. Nothing was sent.", uri=self.uri) from None

    def _csv(self, file: IO[bytes]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        csv.field_size_limit(_MAX_CSV_FIELD)
        reader = csv.DictReader(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""), strict=True)
        try:
            self._check_header(reader.fieldnames or ())
            for row in reader:
                if None in row or None in row.values():
                    columns = len(reader.fieldnames or ())
                    raise self._bad(reader.line_num, f" does not have the header's {columns} columns")
                yield f"{self.uri}, line {reader.line_num}", row
        except csv.Error as error:
            raise self._bad(reader.line_num + 1, f" is not CSV: {error}") from None
        except UnicodeDecodeError:
            raise self._bad(_first_not_utf8(file), " is not UTF-8; save the file as UTF-8") from None

    def _check_header(self, names: Sequence[str]) -> None:
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise self._bad(1, f" names {', '.join(map(repr, twice))} more than once; only one would survive")

    def _bad(self, line: int, what: str) -> SourceError:
        return SourceError(
            f"{self.uri}, line {line}{what}. Nothing was sent. Correct or remove the line.", uri=self.uri, line=line
        )


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
