"""Answer the requests of a batch: once, off the event loop, streamed to disk.

The answers are written in the order in which the requests "finish", a seeded shuffle.  What a batch that was cancelled
or that expired has to show is then simply a beginning of these files, and where it ends is a matter of bytes:

    answers.output     lines of the requests that succeeded (Anthropic: all lines)
    answers.error      lines of the requests that failed (OpenAI)
    index              per request: which file, how many bytes, how many tokens
"""

from __future__ import annotations

import os
import random
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event
from typing import NamedTuple, Protocol, Self

from airflow_provider_llmbatch.emulator.batch import Batch, Checked, Ended
from airflow_provider_llmbatch.emulator.lifecycle import Phase
from airflow_provider_llmbatch.emulator.usage import FIELDS, Usage

OUTPUT, ERROR = "output", "error"
_BUFFER = 1 << 20
_COLUMNS = 3 + len(FIELDS)


class Answer(NamedTuple):
    """What a request came to."""

    line: bytes
    """The line of the results, without its newline; may be several, or empty."""
    ok: bool
    usage: Usage = Usage()


class Session(Protocol):
    """The answering of one batch."""

    def answer(self, position: int, request: bytes, now: float) -> Answer:
        """Answer one request, whose turn comes at *now* (emulated seconds, as planned)."""
        ...


class Desk(Protocol):
    """What the work needs to know of a vendor."""

    apart: bool
    """Whether failed requests go to a file of their own."""

    def check(self, batch: Batch) -> Checked:
        """Validate the requests of *batch* and make sure that ``offsets`` tells where each of them begins."""
        ...

    def open(self, batch: Batch) -> Session:
        """Begin to answer *batch*."""
        ...

    def publish(self, batch: Batch, ended: Ended) -> None:
        """Put the results of *batch* where the API serves them from, and note it in *ended*."""
        ...

    def left_over(self, batch: Batch, position: int, request: bytes, end: Phase) -> bytes:
        """Return the line for a request that never ran."""
        ...


class Requests:
    """The requests of a batch, on disk, by their position."""

    def __init__(self, folder: Path) -> None:
        self.offsets = array("Q")
        self.offsets.frombytes((folder / "offsets").read_bytes())
        self.descriptor = os.open(folder / "requests", os.O_RDONLY)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, position: int) -> bytes:
        start, end = self.offsets[position], self.offsets[position + 1]
        return os.pread(self.descriptor, end - start - 1, start)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)


def save_offsets(folder: Path, offsets: array[int]) -> None:
    """Write where each request begins, and where the last one ends."""
    temporary = folder / ".offsets.tmp"
    temporary.write_bytes(offsets.tobytes())
    temporary.replace(folder / "offsets")


def finishing_order(count: int, key: str) -> list[int]:
    """Return the positions of *count* requests in the order in which they finish."""
    order = list(range(count))
    random.Random(key).shuffle(order)  # noqa: S311 - a shuffle, not a secret
    return order


def answer_all(batch: Batch, desk: Desk, seed: int, stopping: Event) -> list[int]:
    """Answer every request of *batch*; return which ones failed, counted in the order of finishing.

    :param stopping: Set when nobody wants the answers any more.
    """
    session = desk.open(batch)
    course = batch.created.course
    index = array("I")
    failed = []
    with (
        Requests(batch.folder) as requests,
        (batch.folder / f"answers.{OUTPUT}").open("wb", _BUFFER) as output,
        (batch.folder / f"answers.{ERROR}").open("wb", _BUFFER) as error,
    ):
        pace = course.run / len(requests)
        for place, position in enumerate(finishing_order(len(requests), f"{seed}:{batch.id}")):
            answer = session.answer(position, requests[position], course.started + place * pace)
            apart = desk.apart and not answer.ok
            size = (error if apart else output).write(answer.line + b"\n" if answer.line else b"")
            usage = answer.usage
            index.extend((answer.ok, apart, size, usage.input, usage.cached, usage.write_5m, usage.write_1h,
                          usage.output, usage.reasoning))  # fmt: skip
            if not answer.ok:
                failed.append(place)
            if stopping.is_set():
                break
    (batch.folder / "index").write_bytes(index.tobytes())
    return failed


class Tally(NamedTuple):
    """What the first requests to finish came to."""

    succeeded: int
    errored: int
    usage: Usage
    sizes: dict[str, int]


def tally(batch: Batch, count: int) -> Tally:
    """Add up the first *count* requests to finish."""
    index = array("I")
    index.frombytes((batch.folder / "index").read_bytes())
    columns: Sequence[array[int]] = [index[column : count * _COLUMNS : _COLUMNS] for column in range(_COLUMNS)]
    ok, apart, size, *tokens = columns
    sizes = {OUTPUT: 0, ERROR: 0}
    for is_apart, length in zip(apart, size, strict=True):
        sizes[ERROR if is_apart else OUTPUT] += length
    succeeded = sum(ok)
    return Tally(succeeded, count - succeeded, Usage(*map(sum, tokens)), sizes)


def close_books(batch: Batch, desk: Desk, seed: int, count: int, end: Phase) -> Tally:
    """Write ``result.output`` and ``result.error``: the first *count* answers, and a line for each other request."""
    sums = tally(batch, count)
    for name, size in sums.sizes.items():
        source, target = batch.folder / f"answers.{name}", batch.folder / f"result.{name}"
        target.unlink(missing_ok=True)
        if count == batch.total:
            target.hardlink_to(source)
        else:
            _copy_beginning(source, target, size)
    if count < batch.total:
        with (batch.folder / f"result.{ERROR if desk.apart else OUTPUT}").open("ab", _BUFFER) as stream:
            stream.writelines(_left_over(batch, desk, seed, count, end))
    return sums


def _left_over(batch: Batch, desk: Desk, seed: int, count: int, end: Phase) -> Iterator[bytes]:
    with Requests(batch.folder) as requests:
        for position in finishing_order(len(requests), f"{seed}:{batch.id}")[count:]:
            yield desk.left_over(batch, position, requests[position], end) + b"\n"


def _copy_beginning(source: Path, target: Path, size: int) -> None:
    with source.open("rb") as stream, target.open("wb") as out:
        while size > 0:
            size -= out.write(stream.read(min(size, _BUFFER)))


def remove(folder: Path) -> None:
    """Remove the bytes of a deleted batch; what was billed is remembered elsewhere."""
    for name in ("requests", "offsets", "index", "answers.output", "answers.error", "result.output", "result.error"):
        (folder / name).unlink(missing_ok=True)
