"""OpenAI's files: uploads and the results of batches, as bytes on disk and a description next to them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from airflow_provider_llmbatch.emulator import disk
from airflow_provider_llmbatch.emulator.clock import Clock
from airflow_provider_llmbatch.emulator.faults import Fault

DAY = 86_400
BATCH_FILE_SECONDS = 30 * DAY
"""Life of a batch file, and of its results, unless the user says otherwise (FACTS §1.1)."""


class StoredFile(msgspec.Struct, kw_only=True):
    """A file and what the API tells about it."""

    id: str
    vendor: str
    number: int
    """Position in the order of appearance."""
    bytes: int
    filename: str
    purpose: str
    sha256: str = ""
    """Of what was uploaded."""
    created_at: float
    """Wall time, epoch seconds."""
    watch: float
    born: float
    """Emulated time, for expiry."""
    lives: float | None = None
    """Emulated seconds until it expires; ``None``: for ever."""
    faults: list[Fault] = []
    deleted: bool = False

    def openai(self) -> dict[str, Any]:
        """Return OpenAI's file object (WIRE_EXAMPLES §1.2)."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": self.bytes,
            "created_at": int(self.created_at),
            "expires_at": int(self.created_at + self.lives) if self.lives else None,
            "filename": self.filename,
            "purpose": self.purpose,
            "status": "processed",
            "status_details": None,
        }


class Files:
    """All files, in the order in which they appeared.

    :param folder: Where ``<id>.json`` and ``<id>.bytes`` live.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.folder = folder
        self.clock = clock
        folder.mkdir(parents=True, exist_ok=True)
        known = (disk.read(path, StoredFile) for path in folder.glob("*.json"))
        self.by_id = {file.id: file for file in sorted(filter(None, known), key=lambda file: file.number)}

    def count(self, vendor: str) -> int:
        """Return how many files have ever been uploaded to *vendor*."""
        return sum(file.vendor == vendor and file.purpose != "batch_output" for file in self.by_id.values())

    def path(self, file_id: str) -> Path:
        """Return where the bytes of a file are."""
        return self.folder / f"{file_id}.bytes"

    def add(self, source: Path, file: StoredFile) -> None:
        """Keep *file*, whose bytes are at *source* now: linked, not copied."""
        target = self.path(file.id)
        target.unlink(missing_ok=True)
        target.hardlink_to(source)
        disk.write(self.folder / f"{file.id}.json", file)
        self.by_id[file.id] = file

    def get(self, file_id: str) -> StoredFile | None:
        """Return a file, unless it is deleted, expired, or not to be seen yet."""
        file = self.by_id.get(file_id)
        if file is None or file.deleted or not self._alive(file):
            return None
        lag = max((fault.retrieve_lag for fault in file.faults), default=0.0)
        return file if self.clock.watch() - file.watch >= lag else None

    def listed(self, vendor: str) -> Iterator[StoredFile]:
        """Yield the files that a list shows, oldest first."""
        for file in self.by_id.values():
            lag = max((fault.list_lag for fault in file.faults), default=0.0)
            if (
                file.vendor == vendor
                and not file.deleted
                and self._alive(file)
                and self.clock.watch() - file.watch >= lag
            ):
                yield file

    def delete(self, file: StoredFile) -> None:
        """Forget the bytes; remember that the id has been used."""
        file.deleted = True
        disk.write(self.folder / f"{file.id}.json", file)
        self.path(file.id).unlink(missing_ok=True)

    def _alive(self, file: StoredFile) -> bool:
        return file.lives is None or self.clock.now() < file.born + file.lives
