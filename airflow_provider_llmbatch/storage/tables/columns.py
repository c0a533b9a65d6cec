"""The columns of one job's output: their names, their types, and the rows until the types are known.

A table has types, and those of a source without any are known only when its last row was seen. So the rows of a table
wait in a file on the worker's own disk; memory does not grow with them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec

from airflow_provider_llmbatch.core.requests import Question
from airflow_provider_llmbatch.core.rows import COLUMNS, THINKING
from airflow_provider_llmbatch.storage.tables.kinds import Kind, Of, Struct, kind_of, kind_of_schema, merge, settled
from airflow_provider_llmbatch.storage.tables.lines import row_of

OUTPUT = "llm_output"
PART_ROWS = 100_000
"""Rows of one part of a folder."""
GROUP_ROWS = 10_000
GROUP_BYTES = 32 << 20
"""What is held in memory at once, as JSON: rows with long vectors come in smaller groups."""

Own = Literal["money", "short"]
"""Two kinds that no record's value has: US dollars, and an integer of 32 bits."""
OURS: dict[str, Kind | Own] = {
    **dict.fromkeys((*COLUMNS, THINKING), "text"),
    "llm_index": "long",
    "llm_round": "short",
    "llm_input_tokens": "long",
    "llm_cached_input_tokens": "long",
    "llm_output_tokens": "long",
    "llm_cost_usd": "money",
}
TOOL_CALLS = Struct(
    (
        ("text", "text"),
        ("tool_calls", Of(Struct((("arguments", "json"), ("id", "text"), ("name", "text"))))),
    )
)

Rows = list[list[Any]]
"""A group of rows; the values of each are in the order of the columns."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[Any]).decode


def promised(question: Question | None) -> Kind:
    """Return what the question says of the kind of its answers; ``null`` where it says nothing."""
    if question is None:
        return "null"
    if question.output is None:
        return TOOL_CALLS if question.tools else "null"
    return "json" if question.tools else kind_of_schema(question.output.schema)


class Columns:
    """What the columns of an output are.

    :param names: The header.
    :param output: What is known of ``llm_output`` beforehand.
    """

    def __init__(self, names: Sequence[str], output: Kind = "null") -> None:
        self.names = list(names)
        self._output = output
        self._seen: list[Kind] = ["null"] * len(self.names)
        self._watched = [(at, name) for at, name in enumerate(self.names) if name not in OURS or name == OUTPUT]
        self._status = self.names.index("llm_status")

    def note(self, values: Sequence[Any]) -> None:
        """Take one row into account."""
        seen = self._seen
        for at, name in self._watched:
            value = values[at]
            if value is None or (name == OUTPUT and not self._counts(values, value)):
                continue
            if seen[at] != "text" or type(value) is not str:
                seen[at] = merge(seen[at], kind_of(value))

    def _counts(self, values: Sequence[Any], value: Any) -> bool:
        """Return whether an answer decides on the type: the text of one that is not good may be anything."""
        return values[self._status] == "succeeded" or not isinstance(value, str)

    @property
    def kinds(self) -> list[Kind | Own]:
        """The kinds of the columns, in their order, by all rows that were noted."""
        return [
            OURS[name] if name in OURS and name != OUTPUT else self._kind(name, seen)
            for name, seen in zip(self.names, self._seen, strict=True)
        ]

    def _kind(self, name: str, seen: Kind) -> Kind:
        if name != OUTPUT or self._output == "null":
            return settled(seen)
        # A type's own serializer may write what its schema does not say. Then nothing is promised any more.
        return settled(self._output) if merge(self._output, seen) == self._output else "json"


class Spill:
    """Rows that wait until their types are known."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self._file = tempfile.TemporaryFile(prefix="llmbatch-", buffering=1 << 20)  # noqa: SIM115 - closed on exit

    def __enter__(self) -> Spill:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def add(self, owns: Sequence[bytes], ours: Sequence[bytes]) -> None:
        """Take rows in: the records as lines of JSON, and our columns as others."""
        for row in map(row_of, owns, ours):
            values = [row.get(name) for name in self.columns.names]
            self.columns.note(values)
            self._file.write(_encode(values) + b"\n")

    def groups(self) -> Iterator[Rows]:
        """Yield the rows in their order, in groups that never lie across two parts."""
        self._file.seek(0)
        group: Rows = []
        size = 0
        for count, line in enumerate(self._file, 1):
            group.append(_decode(line))
            size += len(line)
            if len(group) == GROUP_ROWS or size >= GROUP_BYTES or count % PART_ROWS == 0:
                yield group
                group, size = [], 0
        if group:
            yield group
