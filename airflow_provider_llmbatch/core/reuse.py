"""Answers that outlive their job: what names one, and how it lies in a file.

An answer is named by a digest of everything that decides it. Two requests with the same digest are the same question,
put to the same model at the same address, and its answer was held to the same schema.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any

import msgspec

from airflow_provider_llmbatch.core.results import Usage
from airflow_provider_llmbatch.core.rows import COLUMNS, THINKING, Answer

FORMAT = 1
"""Of digests and files. Another one is another name for every answer."""
DIGEST = 16
"""Bytes of a digest: half of a SHA-256, which today's processors take faster than any other."""
OURS = COLUMNS[2:]
"""What of a row does not depend on the record's place: all but ``llm_index`` and ``llm_key``."""
LEAST = 256
"""No stored answer is shorter: the names of its columns alone take more bytes."""

Digester = Callable[[Sequence[bytes], int], list[bytes]]
"""Takes lines of consecutive records and the first one's index, and returns their digests."""

_START = len(b'{"digest":"')
_CUT = b',"llm_status":'
"""What stands before a row's columns. Inside a text, a quotation mark has a backslash before it."""
_PAID = b'"paid_usd":'
_END = b',"llm_cost_usd":"0"}\n'
"""How a stored answer ends that shows no reasoning."""

_NULL = msgspec.Raw(b"null")
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_sorted = msgspec.json.Encoder(order="sorted").encode
_encode = msgspec.json.Encoder().encode


def digester(vendor: str, host: str | None, lane: str, schema: Mapping[str, Any] | None, name: str) -> Digester:
    """Return what makes the digests of the requests of one lane.

    :param host: ``None`` where it is the vendor's own: an emulator's answers are never a vendor's.
    :param lane: What all requests of its batch have in common; a vendor's betas are told there, and not in the line.
    :param schema: What the answer was held to.
    :param name: The custom ids up to the record's index; they are of one job and not of the question.
    """
    facts = sha256(_sorted([FORMAT, vendor, host, lane, schema])).digest()
    start = name.encode()

    def digests(lines: Sequence[bytes], first: int) -> list[bytes]:
        return [
            sha256(line.replace(b"%b%d" % (start, index), facts, 1)).digest()[:DIGEST]
            for index, line in enumerate(lines, first)
        ]

    return digests


class Stored(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One answer in a store: where it is from, and then the columns of a row that has it and cost nothing.

    The row takes the bytes of its columns as they are.

    :ivar digest: In hex; whoever takes the line can see that it is the one that he meant.
    :ivar paid_usd: What it cost, all its rounds; ``None``: no price is known.
    :ivar used: The tokens that this took.
    """

    digest: str
    paid_usd: str | None
    used: Usage
    llm_status: str = "succeeded"
    llm_output: Any = None
    llm_error_code: str | None = None
    llm_error_message: str | None = None
    llm_finish_reason: str | None = None
    llm_model: str | None = None
    llm_round: int = 0
    llm_batch_id: str | None = None
    llm_custom_id: str = ""
    llm_input_tokens: int = 0
    llm_cached_input_tokens: int = 0
    llm_output_tokens: int = 0
    llm_cost_usd: str = "0"
    llm_thinking: str | msgspec.UnsetType = msgspec.UNSET


_stored = msgspec.json.Decoder(Stored).decode


def stored_line(digest: bytes, answer: Answer, used: Usage, paid_usd: str | None) -> bytes:
    """Return *answer*, which must be a good one, as a line of a store."""
    result = answer.result
    stored = Stored(
        digest=digest.hex(),
        paid_usd=paid_usd,
        used=used,
        llm_output=result.output,
        llm_finish_reason=result.finish_reason,
        llm_model=result.model,
        llm_batch_id=answer.batch_id,
        llm_custom_id=answer.custom_id,
        llm_thinking=msgspec.UNSET if result.thinking is None else result.thinking,
    )
    return _encode(stored) + b"\n"


def as_ours(line: bytes) -> bytes:
    """Return a stored answer of another release in this one's words."""
    return _encode(_stored(line)) + b"\n"


def are_of(lines: Sequence[bytes], digests: Iterable[bytes]) -> bool:
    """Return whether *lines* are the stored answers of those digests, each whole."""
    names = b"".join([line[_START : _START + 2 * DIGEST] for line in lines])
    return names == b"".join(digests).hex().encode() and all(line.endswith(b"}\n") for line in lines)


def cut(lines: Iterable[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Cut stored answers in two: what each cost, in dollars between quotation marks or ``null``; and its columns."""
    parts = [line.partition(_CUT) for line in lines]
    return [head.split(b",", 2)[1].removeprefix(_PAID) for head, _, _ in parts], [columns for _, _, columns in parts]


def thinks(columns: bytes) -> bool:
    """Return whether the columns of an answer show the model's reasoning."""
    return not columns.endswith(_END)


def beside(index: int, columns: bytes, *, is_keyed: bool) -> bytes:
    """Return the columns of an answer as those of record *index*.

    :param is_keyed: Whether records are named by a column of theirs; their names are put in later.
    """
    if is_keyed:
        return b'{"llm_index":%d,"llm_key":"","llm_status":%b' % (index, columns)
    return b'{"llm_index":%d,"llm_key":"%d","llm_status":%b' % (index, index, columns)


def index_of(line: bytes) -> int:
    """Return the index in a line of :func:`beside`."""
    return int(line[13 : line.index(b",")])


def is_a_row(line: bytes) -> bool:
    """Return whether a line of :func:`beside` has the columns of this release, and no other."""
    return tuple(_fields(line)) == COLUMNS


def made_a_row(line: bytes, thinks: bool) -> bytes:
    """Return a line of :func:`beside` with the columns of this release.

    :param thinks: Whether there is one for the model's reasoning.
    """
    names = (*COLUMNS, THINKING) if thinks else COLUMNS
    fields = _fields(line)
    return _encode({name: fields.get(name, _NULL) for name in names}) + b"\n"
