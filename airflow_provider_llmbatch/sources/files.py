"""Records in files on any storage: one file, a folder, or all that a pattern matches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import IO, Any

from airflow_provider_llmbatch._compat import ObjectStoragePath
from airflow_provider_llmbatch.core.records import Rows
from airflow_provider_llmbatch.exceptions import SourceError
from airflow_provider_llmbatch.sources.tables import read_parquet
from airflow_provider_llmbatch.sources.text import read_csv, read_jsonl, read_jsonl_gz

Reader = Callable[[str, IO[bytes]], Iterator[Rows]]

READERS: Mapping[str, Reader] = {
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".jsonl.gz": read_jsonl_gz,
    ".csv": read_csv,
    ".parquet": read_parquet,
}
_CHANGED = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "created")
"""What file systems call the mark of a file's version, the most telling first."""


@dataclass(frozen=True, slots=True)
class _File:
    """One file as it was found: what tells this version of it from others."""

    uri: str
    size: int | None
    changed: str


class FileSource:
    """The records of one file, or of several of one kind in the order of their names.

    :param uri: A file, a folder, or a pattern with ``*``, ``?`` or ``[…]``. Any scheme that Airflow's
        ``ObjectStoragePath`` takes; a bare path is a file path.
    :raises SourceError: It is empty.
    """

    def __init__(self, uri: str) -> None:
        if not uri.strip():
            raise SourceError("source is an empty text; it must name a file, a folder or a pattern. Nothing was sent.")
        self.uri = uri

    def __repr__(self) -> str:
        return f"FileSource({self.uri!r})"

    def identity(self) -> dict[str, Any]:
        """Return every file's address, size and time of change or etag."""
        files = self._files()
        if [file.uri for file in files] == [self.uri]:
            return {"kind": "file", **asdict(files[0])}
        return {"kind": "files", "uri": self.uri, "files": [asdict(file) for file in files]}

    def rows(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the rows of every file, in order."""
        for block in self.blocks():
            for place, row in enumerate(block.rows):
                yield block.where(place), row

    def blocks(self) -> Iterator[Rows]:
        """Yield the same rows, many at once."""
        files = self._files()
        read = self._reader(files)
        for found in files:
            path = ObjectStoragePath(self.uri)
            with path.fs.open(found.uri.removeprefix(self._prefix(path)), "rb") as file:
                yield from read(found.uri, file)

    def _files(self) -> list[_File]:
        try:
            path = ObjectStoragePath(self.uri)
            path.fs.invalidate_cache()  # a file that was added since this process last looked belongs to it
            infos = self._infos(path)
        except (FileNotFoundError, NotADirectoryError):
            raise self._error("is not there") from None
        except ValueError as error:  # no installed package serves the scheme
            raise self._error(f"cannot be opened: {error}") from None
        files = sorted((self._file(path, info) for info in infos), key=lambda file: file.uri)
        self._reader(files)
        return files

    def _infos(self, path: ObjectStoragePath) -> list[Mapping[str, Any]]:
        """Return what the file system knows of every file."""
        try:
            info = path.fs.info(path.path)
        except FileNotFoundError:
            if not set("*?[") & set(path.path):
                raise
            found = list(path.fs.glob(path.path, detail=True).values())
            return self._only_files(found, "matches no file")
        if info["type"] != "directory":
            return [info]
        place = path.path.rstrip("/")
        inside = [entry for entry in path.fs.ls(place, detail=True) if _is_data(entry["name"], place)]
        return self._only_files(inside, "is a folder without a file")

    def _only_files(self, infos: list[Mapping[str, Any]], otherwise: str) -> list[Mapping[str, Any]]:
        """Refuse folders: to leave out what they hold without a word could lose records."""
        for info in infos:
            if info["type"] == "directory":
                raise self._error(
                    f"holds the folder {_last(info['name'])!r}, which is not searched",
                    'Name files at any depth by a pattern, such as "folder/**/*.csv".',
                )
        if not infos:
            raise self._error(otherwise)
        return infos

    def _file(self, path: ObjectStoragePath, info: Mapping[str, Any]) -> _File:
        changed = next((info[name] for name in _CHANGED if name in info), "")
        is_it = info["name"].strip("/") == path.path.strip("/")
        uri = self.uri if is_it else self._prefix(path) + info["name"]
        return _File(uri, info.get("size"), str(changed))

    def _prefix(self, path: ObjectStoragePath) -> str:
        """Return what stands before a path to make it a URI: the scheme, and the connection."""
        place = path.path.rstrip("/")
        whole = self.uri.rstrip("/")
        return whole.removesuffix(place) if whole.endswith(place) else ""

    def _reader(self, files: list[_File]) -> Reader:
        """Return how to read the files, all of which must be of one kind."""
        examples: dict[Reader, str] = {}
        for file in files:
            suffix = next((suffix for suffix in READERS if file.uri.lower().endswith(suffix)), None)
            if suffix is None:
                which = "" if file.uri == self.uri else f"holds {_last(file.uri)!r}: "
                raise self._error(f"{which}its suffix must be one of {', '.join(READERS)}")
            examples.setdefault(READERS[suffix], _last(file.uri))
        if len(examples) > 1:
            raise self._error(
                f"holds files of several kinds, such as {' and '.join(map(repr, examples.values()))}",
                'Name those of one kind by a pattern, such as "folder/*.csv".',
            )
        return next(iter(examples))

    def _error(self, what: str, remedy: str = "") -> SourceError:
        return SourceError(f"source {self.uri!r} {what}. Nothing was sent. {remedy}".rstrip(), uri=self.uri)


def _is_data(name: str, folder: str) -> bool:
    """Whether an entry is more than a mark: Spark leaves ``_SUCCESS`` and ``.crc`` files, S3 the folder itself."""
    return name.strip("/") != folder.strip("/") and not _last(name).startswith((".", "_"))


def _last(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2]
