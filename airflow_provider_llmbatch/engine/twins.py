"""Requests that are the same, word for word, are asked once; every record still gets its row.

Digests are spilled to disk in parts, and answers are noted by their place: memory does not grow with the records.
"""

from __future__ import annotations

import os
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

import msgspec

from airflow_provider_llmbatch.core.rows import Answer
from airflow_provider_llmbatch.engine.job import Job
from airflow_provider_llmbatch.engine.verdicts import all_answers
from airflow_provider_llmbatch.storage.spill import Spill

TWINS = "twins.jsonl"
"""Pairs of a record's index and that of the first record with the same request, in the order of the former."""

_DIGEST, _INDEX = 16, 8
_PARTS = 64
_STRIDE = 100_000
"""Indexes in one part of the second sort."""

_encode = msgspec.json.Encoder().encode
_answers = msgspec.json.Decoder(list[Answer]).decode
_pair = msgspec.json.Decoder(tuple[int, int]).decode


class Repeats:
    """Finds hashes that came more than once among any number of them.

    They wait in sorted runs in a file on the worker's own disk.
    """

    RUN = 1 << 17
    PARTS = 64

    def __init__(self) -> None:
        self._file = TemporaryFile(prefix="llmbatch-", buffering=0)  # noqa: SIM115 - closed with the object
        self._run = array("q")
        self._cuts: list[list[int]] = []

    def note(self, hashes: Iterable[int]) -> None:
        """Take some hashes in; each has at most 64 bits, with a sign."""
        self._run.extend(hashes)
        if len(self._run) >= self.RUN:
            self._spill()

    def found(self) -> Iterator[int]:
        """Yield each hash that came more than once."""
        self._spill()
        for part in range(self.PARTS):
            hashes = array("q")
            for start, *cuts in self._cuts:
                bounds = [0, *cuts][part : part + 2]
                hashes.frombytes(os.pread(self._file.fileno(), 8 * (bounds[1] - bounds[0]), start + 8 * bounds[0]))
            if len(set(hashes)) < len(hashes):
                yield from (value for value, count in Counter(hashes).items() if count > 1)

    def _spill(self) -> None:
        ordered = array("q", sorted(self._run))
        step = 2**64 // self.PARTS
        cuts = [bisect_left(ordered, part * step - 2**63) for part in range(1, self.PARTS)]
        self._cuts.append([self._file.tell(), *cuts, len(ordered)])
        self._file.write(ordered)
        self._run = array("q")


class Ledger:
    """Finds requests that are the same but for their custom id."""

    def __init__(self) -> None:
        self._digests = Spill(_DIGEST + _INDEX)

    def note(self, index: int, line: bytes, name: str) -> None:
        """Take in the request *line* of record *index* under the custom id *name*."""
        digest = blake2b(line.replace(name.encode(), b"", 1), digest_size=_DIGEST).digest()
        self._digests.put(digest[0] % _PARTS, digest + index.to_bytes(_INDEX, "big"))

    def twins(self) -> Iterator[tuple[int, int]]:
        """Yield each repeated request's index and that of the first one like it, in the order of the former."""
        found = Spill(2 * _INDEX)
        for items in self._digests.parts():
            firsts: dict[bytes, bytes] = {}
            for item in items:
                digest, index = item[:_DIGEST], item[_DIGEST:]
                first = firsts.setdefault(digest, index)
                if first is not index:
                    found.put(int.from_bytes(index, "big") // _STRIDE, index + first)
        for pairs in found.parts():
            for pair in sorted(pairs):
                yield int.from_bytes(pair[:_INDEX], "big"), int.from_bytes(pair[_INDEX:], "big")


def write_twins(job: Job, ledger: Ledger) -> int:
    """Write down which records share a request; return how many have none of their own."""
    if next(ledger.twins(), None) is None:
        return 0
    count = 0
    with job.folder.files.landing(TWINS) as path, path.open("wb") as file:
        for pair in ledger.twins():
            file.write(_encode(pair) + b"\n")
            count += 1
    return count


def twins_of(job: Job) -> Iterator[tuple[int, int]]:
    """Yield what :func:`write_twins` wrote."""
    if job.manifest.rounds[0].prepared.twins:
        with job.folder.files.local(TWINS).open("rb") as file:
            yield from map(_pair, file)


class SharedAnswers:
    """The answers that several records share, kept on the worker's own disk."""

    def __init__(self, job: Job) -> None:
        self._firsts = array("Q", sorted({first for _, first in twins_of(job)}))
        self._places = array("Q", [0])
        self._folder = TemporaryDirectory(prefix="llmbatch-")
        path = Path(self._folder.name) / "answers"
        with path.open("wb") as file:
            if self._firsts:
                wanted = iter(self._firsts)
                first = next(wanted)
                for index, answers in all_answers(job):
                    if index == first:
                        self._places.append(self._places[-1] + file.write(_encode(answers)))
                        first = next(wanted, -1)
        self._file = path.open("rb", buffering=0)

    def __enter__(self) -> SharedAnswers:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()
        self._folder.cleanup()

    def of(self, first: int) -> list[Answer]:
        """Return the answers to record *first*, in the order of their rounds."""
        position = bisect_left(self._firsts, first)
        start, end = self._places[position : position + 2]
        return _answers(os.pread(self._file.fileno(), end - start, start))
