"""What can go wrong on request: which calls, how often, and what happens to them.

A fault is written as a pattern of operations and some settings, on the command line

    openai.batches.create status=429 retry_after=2 times=1
    anthropic.batches.results cut=1000
    *.batches.create row=server_error rate=0.1 once

or as the same names in JSON on the control route, in Python, or for a single call in ``x-emulator-fault``.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Literal

import msgspec

from airflow_provider_llmbatch.emulator.ids import fraction

_CHOICES = frozenset({"calls", "id", "skip", "times", "probability", "rate", "count", "index", "match", "once"})
"""Settings that say which calls and rows are struck, not how."""


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """One thing that goes wrong.

    Seconds are wall seconds.  What concerns a whole batch or its rows is decided when the batch is created,
    and stays with it.
    """

    calls: str = "*"
    """Operations it applies to, with ``*``: ``openai.batches.create``, ``anthropic.*``."""
    id: str = ""
    """Only calls about this batch or file."""
    skip: int = 0
    """Let that many matching calls pass first."""
    times: int | None = None
    """Then strike at most that often.  Default: always."""
    probability: float = 1.0
    """Strike with this probability, the same calls in every run with the same seed."""

    status: int | None = None
    """Refuse with this HTTP status, unprocessed."""
    retry_after: float | None = None
    """Seconds, sent as ``Retry-After`` with the refusal."""
    code: str = ""
    """OpenAI's ``code``, or Anthropic's ``type``, of the refusal; for ``row=error``, of the row."""
    message: str = ""
    """Text of the refusal."""
    details: str = ""
    """Anthropic's ``details.error_code``."""

    reset_before: bool = False
    """Reset the connection before anything is processed."""
    reset_after: bool = False
    """Process the call, then reset the connection instead of answering."""
    hang: float = 0.0
    """Process the call, then hold the answer back that long."""
    hang_before: float = 0.0
    """Wait that long before processing.  A client that gives up meanwhile is not served."""
    cut: int | None = None
    """Close the connection after that many bytes of the answer's body."""
    garble: bool = False
    """Damage the answer's body."""

    list_lag: float = 0.0
    """The created batch or file is missing from lists that long."""
    retrieve_lag: float = 0.0
    """The created batch or file is not found that long."""

    stuck: Literal["", "validating", "in_progress", "finalizing", "cancelling", "canceling"] = ""
    """The batch never leaves this status."""
    expire: float | None = None
    """The batch stops at this share of its work and expires when the window closes."""
    no_output_file: bool = False
    """The completed batch has no output file (OpenAI)."""
    empty_error_file_id: bool = False
    """The missing error file is reported as ``""`` (OpenAI)."""
    lying_counts: bool = False
    """The batch counts every request as succeeded."""
    full_price: bool = False
    """The batch is billed at the standard price.  Anthropic's answers name that tier; OpenAI's say ``default`` either
    way (FACTS §1.5)."""
    fail: str = ""
    """The batch fails validation with this code, for example ``billing_hard_limit_reached`` (OpenAI)."""

    row: str = ""
    """What happens to chosen rows: see :mod:`~airflow_provider_llmbatch.emulator.row_faults`."""
    rate: float | None = None
    """Share of the rows."""
    count: int | None = None
    """Number of rows of each batch."""
    index: list[int] = []
    """Rows whose ``custom_id`` ends with one of these numbers."""
    match: str = ""
    """Rows whose request contains this text."""
    once: bool = False
    """Only the first time that a request is seen: asked again, it succeeds."""

    @property
    def effects(self) -> list[str]:
        """Names of what it does."""
        return [name for name in msgspec.to_builtins(self) if name not in _CHOICES]


def parse_fault(spec: str | Mapping[str, Any]) -> Fault:
    """Read a fault from text or from JSON-like settings.

    :raises ValueError: An unknown setting, or a value of the wrong type.
    """
    settings: dict[str, Any] = _parse_text(spec) if isinstance(spec, str) else dict(spec)
    if isinstance(settings.get("index"), (str, int)):
        settings["index"] = str(settings["index"]).split(",")
    try:
        fault = msgspec.convert(settings, Fault, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(f"Bad fault {spec!r}: {error}") from None
    if fault.row and all(choice in (None, [], "") for choice in (fault.rate, fault.count, fault.index, fault.match)):
        raise ValueError(f"Bad fault {spec!r}: row needs one of rate, count, index or match")
    return fault


def _parse_text(text: str) -> dict[str, Any]:
    if text.lstrip().startswith("{"):
        settings: dict[str, Any] = msgspec.json.decode(text.encode())
        return settings
    settings = {}
    for word in shlex.split(text):
        name, equals, value = word.partition("=")
        if not equals and ("." in name or "*" in name):
            settings["calls"] = name
        else:
            settings[name] = value if equals else True
    return settings


class Faults:
    """The faults that are switched on, and how often each has struck."""

    def __init__(self, seed: int, specs: Iterable[str] = ()) -> None:
        self.seed = seed
        self.active: list[tuple[int, Fault]] = []
        self.seen: dict[int, int] = {}
        self.struck: dict[int, int] = {}
        self._number = 0
        for spec in specs:
            self.add(parse_fault(spec))

    def add(self, fault: Fault) -> int:
        """Switch *fault* on; return its number."""
        self._number += 1
        self.active.append((self._number, fault))
        return self._number

    def clear(self) -> None:
        """Switch all of them off."""
        self.active.clear()

    def strike(self, operation: str, ids: Iterable[str], header: str | None) -> list[Fault]:
        """Return the faults that strike a call, that of its own header first.

        :param ids: The batch and file ids in the call's path.
        :raises ValueError: The header cannot be read.
        """
        struck = [parse_fault(header)] if header else []
        known = set(ids)
        for number, fault in self.active:
            if fnmatchcase(operation, fault.calls) and (not fault.id or fault.id in known) and self._due(number, fault):
                self.struck[number] = self.struck.get(number, 0) + 1
                struck.append(fault)
        return struck

    def _due(self, number: int, fault: Fault) -> bool:
        self.seen[number] = seen = self.seen.get(number, 0) + 1
        if seen <= fault.skip or (fault.times is not None and self.struck.get(number, 0) >= fault.times):
            return False
        return fault.probability >= 1 or fraction(self.seed, "fault", number, seen) < fault.probability

    def describe(self) -> list[dict[str, Any]]:
        """Return the active faults with how often they have struck."""
        return [
            {"number": number, "struck": self.struck.get(number, 0), **msgspec.to_builtins(fault)}
            for number, fault in self.active
        ]
