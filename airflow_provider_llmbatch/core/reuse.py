"""Answers that outlive their job: what names one, and how it lies in a file.

An answer is named by a digest of everything that decides it. Two requests with the same digest are the same question,
put to the same model at the same address, and its answer was held to the same schema. Where the requests of a job
differ in nothing but their texts, the digest is made of these: most records of a daily job need no request then.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from hashlib import sha256
from typing import Any

import msgspec

from airflow_provider_llmbatch.core.rows import COLUMNS, THINKING, Answer

FORMAT = 1
"""Of digests and files. Another one is another name for every answer."""
DIGEST = 16
"""Bytes of a digest: half of a SHA-256, which today's processors take faster than any other."""
OURS = COLUMNS[2:]
"""What of a row does not depend on the record's place: all but ``llm_index`` and ``llm_key``."""
UNKNOWN = -1
"""The cost of an answer whose price is not known."""
_DECIMALS = 15
"""What a store has of a cost: of a million tokens at a price of six decimals, half of it, and a tenth of that."""
_MOST = 1 << 63
_HEAD = b'{"digest":"%b",'
_CUT = len(_HEAD % bytes(2 * DIGEST))
"""Where a row's columns begin in a line of a store."""
_END = b',"llm_cost_usd":"0"}\n'
"""How a stored answer ends that shows no reasoning."""

_NULL = msgspec.Raw(b"null")
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_sorted = msgspec.json.Encoder(order="sorted").encode
_encode = msgspec.json.Encoder().encode


def digest_of(*facts: Any) -> bytes:
    """Return what stands for *facts*, which may be whatever JSON can say."""
    return sha256(_sorted((FORMAT, *facts))).digest()


def digests_of_texts(shared: bytes, texts: Sequence[Sequence[str]]) -> list[bytes]:
    """Return the digests of requests that differ in nothing but their texts.

    :param shared: Stands for all else.
    :param texts: What :meth:`Composer.texts` returns.
    """
    if len(texts) == 1:
        return [sha256(shared + text.encode()).digest()[:DIGEST] for text in texts[0]]
    return [sha256(shared + _encode(several)).digest()[:DIGEST] for several in zip(*texts, strict=True)]


def digest_of_line(shared: bytes, line: bytes, name: str) -> bytes:
    """Return the digest of a request as it is written.

    :param shared: Stands for what decides its answer and is not in the line.
    :param name: Its custom id; that is of one job and not of the question.
    """
    return sha256(line.replace(name.encode(), shared, 1)).digest()[:DIGEST]


class Stored(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One answer in a store: its digest, and then the columns of a row that has it and cost nothing.

    The row takes the bytes of its columns as they are.

    :ivar digest: In hex; whoever takes the line can see that it is the one that he meant.
    """

    digest: str
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


def stored_line(digest: bytes, answer: Answer) -> bytes:
    """Return *answer*, which must be a good one, as a line of a store."""
    result = answer.result
    stored = Stored(
        digest=digest.hex(),
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


def head_of(digest: bytes) -> bytes:
    """Return how the stored answer to *digest* begins."""
    return _HEAD % digest.hex().encode()


def cost_of(usd: Decimal | None) -> int:
    """Return dollars as the whole number that a store has of them, or ``UNKNOWN``."""
    cost = UNKNOWN if usd is None else round(usd.scaleb(_DECIMALS))
    return cost if cost < _MOST else UNKNOWN


def usd_of(cost: int) -> Decimal:
    """Return the dollars that such a number, or a sum of them, stands for."""
    return Decimal(cost).scaleb(-_DECIMALS)


def thinking(total: int, lines: bytes) -> int:
    """Return how many of *total* stored answers show the model's reasoning."""
    return total - lines.count(_END)


def beside(lines: Sequence[bytes], first: int, keys: Sequence[bytes] | None) -> list[bytes]:
    """Return stored answers as our columns of the records from *first* on.

    :param keys: The records' keys, as JSON; ``None``: their indexes are their keys.
    """
    if keys is None:
        return [b'{"llm_index":%d,"llm_key":"%d",%b' % (at, at, line[_CUT:]) for at, line in enumerate(lines, first)]
    both = zip(keys, lines, strict=True)
    return [b'{"llm_index":%d,"llm_key":%b,%b' % (at, key, line[_CUT:]) for at, (key, line) in enumerate(both, first)]


def whole_rows(owns: Sequence[bytes], lines: Sequence[bytes], first: int) -> bytes:
    """Return stored answers behind the records from *first* on, as whole rows.

    :param owns: The records, as lines of JSON, each with text at its end. Their indexes are their keys.
    """
    rows = enumerate(zip(owns, lines, strict=True), first)
    return b"".join(
        [b'%b,"llm_index":%d,"llm_key":"%d",%b' % (own[:-2], at, at, line[_CUT:]) for at, (own, line) in rows]
    )


def is_a_row(columns: bytes) -> bool:
    """Return whether what :func:`beside` returned are the columns of this release, and no other."""
    return tuple(_fields(columns)) == COLUMNS


def made_a_row(columns: bytes, thinks: bool) -> bytes:
    """Return what :func:`beside` returned with the columns of this release.

    :param thinks: Whether there is one for the model's reasoning.
    """
    names = (*COLUMNS, THINKING) if thinks else COLUMNS
    fields = _fields(columns)
    return _encode({name: fields.get(name, _NULL) for name in names}) + b"\n"
