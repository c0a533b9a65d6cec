"""Fetching a large result file: streamed to disk, its size checked, a cut transfer resumed where it stopped.

Large answers have been seen cut in mid-stream (FACTS §1.5). A server that sends a strong ``ETag`` lets the rest be
asked for with ``Range`` and ``If-Range``; any other server is asked for the whole again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import IO, Any

from airflow_provider_llmbatch.exceptions import BusyError, NotFoundError, TransferError, UnavailableError

TRIES = 4
"""How often a transfer may fail without having brought a single byte more."""

Open = Callable[[str, dict[str, str]], AbstractContextManager[Any]]
"""Opens a streamed answer: ``open(path, headers)``."""


class Download:
    """One file on its way to disk.

    :param vendor: For messages.
    :param path: Below the connection's own host.
    :param size: Bytes that the vendor announced elsewhere, or ``None``; asked only where the answer itself names none.
    """

    def __init__(self, vendor: str, path: str, size: int | None = None) -> None:
        self._vendor = vendor
        self._path = path
        self._size = size
        self._etag: str | None = None

    def run(self, open_: Open, file: IO[bytes]) -> None:
        """Append the file to *file*, trying again after each failure.

        A 404 is tried again like an outage: just after a batch has ended, its results may not be seen yet
        (FACTS §2.3).

        :raises TransferError: It came short, however often it was tried.
        """
        start = most = file.tell()
        failures = 0
        while True:
            try:
                self._once(open_, file, start)
            except (UnavailableError, BusyError, TransferError, NotFoundError) as error:
                failures = 1 if file.tell() > most else failures + 1
                most = max(most, file.tell())
                if failures >= TRIES:
                    raise self._given_up(error) from None
                time.sleep(max(error.context.get("retry_after") or 0.0, 0.5 * 2**failures))
            else:
                return

    def _once(self, open_: Open, file: IO[bytes], start: int) -> None:
        have = file.tell() - start
        resumed = {"Range": f"bytes={have}-", "If-Range": self._etag} if have and self._etag else {}
        with open_(self._path, resumed) as response:
            if response.status_code != 206:
                file.seek(start)
                file.truncate()
            etag = response.headers.get("etag", "")
            self._etag = etag if etag.startswith('"') else None
            announced = response.headers.get("content-length")
            received = sum(file.write(block) for block in response.iter_bytes())
        if announced is None:
            self._check(file.tell() - start)
        elif received != int(announced):
            raise TransferError(f"{received:,} of {int(announced):,} bytes came.")

    def _check(self, received: int) -> None:
        if self._size is not None and received != self._size:
            raise TransferError(f"{received:,} bytes came; the vendor's file has {self._size:,}.")

    def _given_up(self, error: Exception) -> TransferError:
        return TransferError(
            f"{self._vendor}: GET {self._path} did not come through; the last failure was: {error} Nothing of it was "
            "landed; the vendor keeps it, and the next try downloads it again."
        )
