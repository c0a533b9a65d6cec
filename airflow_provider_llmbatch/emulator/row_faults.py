"""What can go wrong with single rows of a batch, whoever the vendor is.

Before the answer: ``refusal``, ``truncated``, ``invalid_json`` change what the model says; the name of an error
(``server_error``, ``overloaded_error``; any other with ``status=``) makes the row fail.
After it: ``missing``, ``duplicated``, ``foreign`` (a line that belongs to nobody comes too), ``damaged``,
``empty`` (200 without a body), ``status_0``, ``expired`` (never ran) change the line.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from airflow_provider_llmbatch.emulator.faults import Fault
from airflow_provider_llmbatch.emulator.ids import fraction

TWISTS = frozenset({"refusal", "truncated", "invalid_json"})
"""Faults of what the model says."""
SPOILS = frozenset({"missing", "duplicated", "foreign", "damaged"})
"""Faults of the line, whatever is in it."""
EMPTY, STATUS_0, EXPIRED = "empty", "status_0", "expired"
_TRAILING = re.compile(r"(\d+)$")


def is_error(kind: str) -> bool:
    """Return whether *kind* names an error: ``error``, or an error's own code."""
    return bool(kind) and kind not in TWISTS | SPOILS | {EMPTY, STATUS_0, EXPIRED}


class RowFaults:
    """The row faults of one batch.

    :param faults: All faults of the batch.
    :param asked: Requests seen before, by digest; shared by all batches, for ``once``.
    """

    def __init__(self, faults: Iterable[Fault], *, seed: int, asked: set[str]) -> None:
        self.faults = [fault for fault in faults if fault.row]
        self.seed = seed
        self.asked = asked
        self.left = [fault.count for fault in self.faults]

    def choose(self, custom_id: str, body: bytes) -> Fault | None:
        """Return the fault that strikes this row, if any."""
        if not self.faults:
            return None
        question = body.replace(custom_id.encode(), b"", 1)  # the same request may come back under another id
        mark = hashlib.blake2b(question, digest_size=16).hexdigest()
        first_time = mark not in self.asked
        self.asked.add(mark)
        found = _TRAILING.search(custom_id)
        key = found.group(1).lstrip("0") or "0" if found else mark
        for number, fault in enumerate(self.faults):
            if (first_time or not fault.once) and self._strikes(number, fault, key, body):
                return fault
        return None

    def _strikes(self, number: int, fault: Fault, key: str, body: bytes) -> bool:
        if fault.index and not (key.isdigit() and int(key) in fault.index):
            return False
        if fault.match and fault.match.encode() not in body:
            return False
        if fault.rate is not None and fraction(self.seed, "row", fault.row, key) >= fault.rate:
            return False
        left = self.left[number]
        if left is not None:
            if left == 0:
                return False
            self.left[number] = left - 1
        return True


def spoil(kind: str, line: bytes, foreign: bytes) -> bytes:
    """Return *line* as a fault of *kind* leaves it.

    :param foreign: A line whose ``custom_id`` nobody asked for.
    """
    if kind == "missing":
        return b""
    if kind == "duplicated":
        return line + b"\n" + line
    if kind == "foreign":
        return line + b"\n" + foreign
    return line[: max(1, len(line) // 2)]
