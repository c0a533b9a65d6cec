"""A folder on any storage, with the few operations a job needs.

A document appears whole or not at all. On file systems it is written under another name and linked into place; on
object stores it is one PUT, with the condition that nothing has that name yet. *Not there* and *unreadable* are
different answers.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from airflow_provider_llmbatch._compat import ObjectStoragePath
from airflow_provider_llmbatch.exceptions import InputError, ManifestError

log = logging.getLogger(__name__)

_UNSUPPORTED = {errno.EPERM, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK}
"""How mounted buckets and some network disks say that they know no hard links, or cannot sync a directory."""
_UNCONDITIONAL = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
"""How object stores say that they know no conditional writes: HTTP 501."""
_TRIES = 3
"""How often a conditional write is made. S3 answers 409 while another write of that name is under way, and asks to be
asked again: https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html"""


def open_folder(uri: str) -> Folder:
    """Return the folder at *uri*: any scheme that Airflow's ``ObjectStoragePath`` takes; a bare path is a file path.

    :raises InputError: No installed package serves the scheme.
    """
    try:
        path = ObjectStoragePath(uri)
        local = path.protocol in ("file", "local", "") or not path.fs
    except (ValueError, ImportError) as error:
        raise InputError(
            f"{uri!r} cannot be opened: {error}. Nothing was sent. Install the Airflow provider that serves it, for "
            "example with airflow-provider-llmbatch[s3].",
            uri=uri,
        ) from None
    return LocalFolder(path, uri) if local else Folder(path, uri)


def open_parent(uri: str) -> tuple[Folder, str]:
    """Return the folder that holds the file at *uri*, and the file's name in it."""
    parent, slash, name = uri.rpartition("/")
    is_root = slash and (not parent or parent.endswith("/"))
    return open_folder(f"{parent}/" if is_root else parent), name


class Folder:
    """A folder on an object store.

    :param path: Where it lies.
    :param uri: The same, as it was asked for.
    :ivar syncs: Whether what is written to a local path of :meth:`landing` is synced to this machine's disk then.
    """

    syncs = False

    def __init__(self, path: ObjectStoragePath, uri: str) -> None:
        self.uri = uri.rstrip("/")
        self._root = path
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._is_exclusive: bool | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.uri!r})"

    def uri_of(self, name: str) -> str:
        """Return the address of *name*."""
        return f"{self.uri}/{name}"

    def create(self, name: str, data: bytes) -> bool:
        """Write a document that is never changed again. Return ``False`` if there already is one.

        Where the store has conditional writes, two writers cannot both succeed. ``False`` does not say whose the
        document is: a client that repeats a write whose answer was lost meets its own.

        Some stores take the condition and ignore it, and no answer tells. So the first document is written twice: a
        store that takes the second is not trusted, and every name is looked up before it is written.
        """
        if not self._is_exclusive and self.exists(name):
            return False
        created = self._put_new(name, data)
        if created and self._is_exclusive is None:
            self._is_exclusive = not self._put_new(name, data)
            if not self._is_exclusive:
                log.warning(
                    "%s: the storage ignores conditional writes. Attempts that run at the same time may both submit; "
                    "attempts that follow each other are safe.",
                    self.uri,
                )
        return created

    def _put_new(self, name: str, data: bytes) -> bool:
        """Make a conditional write; make a plain one where the store says that it knows none."""
        fs, key = self._at(name)
        for attempt in range(1, _TRIES + 1):
            try:
                fs.pipe_file(key, data, mode="create")
            except FileExistsError:
                return False
            except (TypeError, ValueError, NotImplementedError):
                break
            except OSError as error:
                if error.errno in _UNCONDITIONAL:
                    break
                if self.exists(name):  # refused, in words that fsspec does not know; or done, and the answer was lost
                    return False
                if attempt == _TRIES:
                    raise
            else:
                return True
        fs.pipe_file(key, data)
        return True

    def replace(self, name: str, data: bytes) -> None:
        """Write a document that may be written again."""
        fs, key = self._at(name)
        fs.pipe_file(key, data)
        fs.invalidate_cache()

    def read(self, name: str) -> bytes | None:
        """Return a document, or ``None`` if it is not there.

        :raises ManifestError: It cannot be told, or it cannot be read.
        """
        fs, key = self._at(name)
        try:
            data: bytes = fs.cat_file(key)
        except FileNotFoundError:
            return None
        except Exception as error:
            raise self._unreadable(name, error) from error
        return data

    def read_all(self, names: Sequence[str]) -> list[bytes | None]:
        """Do what :meth:`read` does for several documents, at once where the store can: a job has thousands."""
        fs = self._root.fs
        keys = [fs._strip_protocol(self._at(name)[1]) for name in names]
        found = fs.cat(keys, on_error="return") if keys else {}
        return [self._told(name, found[key]) for name, key in zip(names, keys, strict=True)]

    def read_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes] | None:
        """Return parts of a file, each from its first byte up to its last, or ``None`` if the file is not there.

        :raises ManifestError: It cannot be told, or it cannot be read.
        """
        fs, key = self._at(name)
        starts, ends = zip(*ranges, strict=True)
        try:
            parts: list[bytes] = fs.cat_ranges([key] * len(ranges), list(starts), list(ends), on_error="raise")
        except FileNotFoundError:
            return None
        except Exception as error:
            raise self._unreadable(name, error) from error
        return parts

    def _told(self, name: str, found: bytes | Exception) -> bytes | None:
        if isinstance(found, FileNotFoundError):
            return None
        if isinstance(found, Exception):
            raise self._unreadable(name, found) from found
        return found

    def piece(self, name: str, start: int, size: int) -> bytes:
        """Return *size* bytes of a file from *start* on, or what there is of them.

        :raises ManifestError: It is not there, or it cannot be read.
        """
        found = self.read_ranges(name, [(start, start + size)])
        if found is None:
            raise self._unreadable(name, FileNotFoundError(name))
        return found[0]

    def names(self, sub: str) -> list[str]:
        """Return the names in the sub-folder *sub*, sorted; none if it is not there.

        :raises ManifestError: It cannot be listed.
        """
        fs, key = self._at(sub)
        fs.invalidate_cache()
        try:
            return sorted(entry.rstrip("/").rsplit("/", 1)[-1] for entry in fs.ls(key, detail=False))
        except FileNotFoundError:
            return []
        except Exception as error:
            raise self._unreadable(sub, error) from error

    def exists(self, name: str) -> bool:
        """Return whether *name* is there."""
        fs, key = self._at(name)
        fs.invalidate_cache()
        return bool(fs.exists(key))

    def remove(self, name: str) -> None:
        """Delete *name* if it is there."""
        fs, key = self._at(name)
        with contextlib.suppress(FileNotFoundError):
            fs.rm_file(key)

    @contextlib.contextmanager
    def landing(self, name: str) -> Iterator[Path]:
        """Give a local path to write to. The file appears as *name* when the block ends well, and never otherwise."""
        path = self._scratch_path(name + uuid4().hex)
        try:
            yield path
            fs, key = self._at(name)
            fs.put_file(str(path), key)
            fs.invalidate_cache()
        finally:
            path.unlink(missing_ok=True)

    def local(self, name: str) -> Path:
        """Return a local path that holds the file *name*; it is fetched once and lives as long as this object."""
        path = self._scratch_path(name)
        if not path.exists():
            fs, key = self._at(name)
            part = path.with_name(path.name + ".part")
            fs.get_file(key, str(part))
            part.rename(path)
        return path

    def move(self, new_uri: str, *, last: str) -> None:
        """Move the whole folder to *new_uri*, on the same storage.

        :param last: The document that goes last. An object store moves file by file; after a crash the folder is here
            as long as this document is, and the move is done again.
        """
        fs = self._root.fs
        source, target = (fs._strip_protocol(path) for path in (self._root.path, ObjectStoragePath(new_uri).path))
        fs.invalidate_cache()
        *others, final = sorted(fs.find(source), key=lambda name: name == f"{source}/{last}")
        fs.copy([*others, final], [target + name.removeprefix(source) for name in (*others, final)])
        if others:
            fs.rm(others)
        fs.invalidate_cache()
        if fs.find(source) != [final]:  # S3 answers 200 to a deletion of many, whatever became of each
            raise ManifestError(
                f"{self.uri!r} was copied to {new_uri!r} and cannot be deleted. Nothing was submitted. Allow deletions "
                "there, or move the folder by hand, and retry.",
                uri=self.uri,
            )
        fs.rm_file(final)
        fs.invalidate_cache()

    def _at(self, name: str) -> tuple[Any, str]:
        return self._root.fs, f"{self._root.path.rstrip('/')}/{name}"

    def _scratch_path(self, name: str) -> Path:
        if self._scratch is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="llmbatch-")
        return Path(self._scratch.name) / name.replace("/", "_")

    def _unreadable(self, name: str, error: Exception) -> ManifestError:
        return ManifestError(
            f"{self.uri_of(name)!r} cannot be read ({type(error).__name__}: {error}). Nothing was submitted: what "
            "cannot be read may record a paid batch. Make the storage readable again and retry.",
            uri=self.uri_of(name),
        )


class LocalFolder(Folder):
    """A folder on a file system: documents are synced to disk, and two writers of one name cannot both succeed."""

    syncs = True

    def __init__(self, path: ObjectStoragePath, uri: str) -> None:
        super().__init__(path, uri)
        self.path = Path(path.path)

    def create(self, name: str, data: bytes) -> bool:
        with self._synced(name, data) as part:
            try:
                os.link(part, self.path / name)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in _UNSUPPORTED:
                    raise
                return self._claim(name, data)
            _sync_directory((self.path / name).parent)
            return True

    def _claim(self, name: str, data: bytes) -> bool:
        """Write under the final name at once: a crash leaves a document that reads as damaged, never as absent."""
        try:
            with (self.path / name).open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except FileExistsError:
            return False
        return True

    def replace(self, name: str, data: bytes) -> None:
        with self._synced(name, data) as part:
            part.replace(self.path / name)

    def read(self, name: str) -> bytes | None:
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreadable(name, error) from error

    def read_all(self, names: Sequence[str]) -> list[bytes | None]:
        return [self.read(name) for name in names]

    def read_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes] | None:
        try:
            with (self.path / name).open("rb", buffering=0) as file:
                return [os.pread(file.fileno(), end - start, start) for start, end in ranges]
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreadable(name, error) from error

    def names(self, sub: str) -> list[str]:
        try:
            return sorted(entry.name for entry in (self.path / sub).iterdir() if not entry.name.startswith("."))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._unreadable(sub, error) from error

    def exists(self, name: str) -> bool:
        return (self.path / name).exists()

    def remove(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def landing(self, name: str) -> Iterator[Path]:
        path = self.path / name
        _make_directory(path.parent)
        part = path.with_name(f".{path.name}.{uuid4().hex}.part")
        try:
            yield part
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.replace(path)
            _sync_directory(path.parent)
        finally:
            part.unlink(missing_ok=True)

    def local(self, name: str) -> Path:
        return self.path / name

    def move(self, new_uri: str, *, last: str) -> None:
        target = Path(ObjectStoragePath(new_uri).path)
        _make_directory(target.parent)
        self.path.rename(target)

    @contextlib.contextmanager
    def _synced(self, name: str, data: bytes) -> Iterator[Path]:
        path = self.path / name
        _make_directory(path.parent)
        part = path.with_name(f".{path.name}.{uuid4().hex}.part")
        try:
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            yield part
        finally:
            part.unlink(missing_ok=True)


def _make_directory(path: Path) -> None:
    """Make *path* and what is above it, each as durable as the documents in it."""
    if not path.is_dir():
        _make_directory(path.parent)
        path.mkdir(exist_ok=True)
        _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    """Make a new name durable: without this a power cut may forget a paid batch."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    finally:
        os.close(handle)
