"""Records in a file on any storage: JSON lines (plain or gzip) and CSV."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

import jsonlines

from airflow_provider_llmbatch._compat import ObjectStoragePath
from airflow_provider_llmbatch.core import jsonl
from airflow_provider_llmbatch.exceptions import SourceError

SUFFIXES = (".jsonl", ".ndjson", ".jsonl.gz", ".csv")
_MAX_CSV_FIELD = 2**31 - 1  # Python's own limit of 131,072 characters refuses a long review


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
        changed = next(
            (info[name] for name in ("ETag", "etag", "mtime", "LastModified", "updated") if name in info), ""
        )
        return {"kind": "file", "uri": self.uri, "size": info.get("size"), "changed": str(changed)}

    def rows(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the file's rows in order."""
        self._stat()
        read = self._csv if self.uri.lower().endswith(".csv") else self._jsonl
        path = ObjectStoragePath(self.uri)
        with path.fs.open(path.path, "rb") as file:
            yield from read(file)

    def _stat(self) -> Mapping[str, Any]:
        path = ObjectStoragePath(self.uri)
        try:
            info: Mapping[str, Any] = path.fs.info(path.path)
        except FileNotFoundError:
            raise SourceError(f"source {self.uri!r} is not there. Nothing was sent.", uri=self.uri) from None
        if info.get("type") == "directory":
            raise SourceError(f"source {self.uri!r} is a folder, not a file. Nothing was sent.", uri=self.uri)
        return info

    def _jsonl(self, file: IO[bytes]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        lines = gzip.open(file) if self.uri.lower().endswith(".gz") else file  # noqa: SIM115 - closed with `file`
        try:
            for number, row in jsonl.read(lines):
                where = f"{self.uri}, line {number}"
                if not isinstance(row, dict):
                    raise SourceError(
                        f"{where}: a record is a JSON object; this line is a {type(row).__name__}. Nothing was sent.",
                        line=number,
                    )
                yield where, row
        except jsonlines.InvalidLineError as error:
            reason = str(error.__cause__ or "null is not a record")
            raise SourceError(
                f"{self.uri}, line {error.lineno} is not JSON: {reason}. Nothing was sent. Correct or remove the line.",
                line=error.lineno,
            ) from None

    def _csv(self, file: IO[bytes]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        csv.field_size_limit(_MAX_CSV_FIELD)
        reader = csv.DictReader(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""), strict=True)
        try:
            self._check_header(reader.fieldnames or ())
            for row in reader:
                where = f"{self.uri}, line {reader.line_num}"
                if None in row or None in row.values():
                    raise SourceError(
                        f"{where}: the row does not have the header's {len(reader.fieldnames or ())} columns. "
                        "Nothing was sent. Correct or quote the row.",
                        line=reader.line_num,
                    )
                yield where, row
        except (csv.Error, UnicodeDecodeError) as error:
            raise SourceError(
                f"{self.uri}, line {reader.line_num + 1} is not CSV in UTF-8: {type(error).__name__}. "
                "Nothing was sent. Correct the file.",
                line=reader.line_num + 1,
            ) from None

    def _check_header(self, names: Sequence[str]) -> None:
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise SourceError(
                f"{self.uri}, line 1: the header names {', '.join(map(repr, twice))} more than once. Nothing was sent. "
                "Rename the columns: of two with one name only one would survive.",
                line=1,
            )
