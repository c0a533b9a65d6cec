"""Answers that outlive their job: what names one, and how it lies in a file.

An answer is named by a digest of everything that decides it. Two requests with the same digest are the same question,
put to the same model at the same address, and its answer was held to the same schema. Where the requests of a job
differ in nothing but their texts, the digest is made of these: most records of a daily job need no request then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
_START = len(b'{"digest":"')
_PAID = _START + 2 * DIGEST + len(b'","paid_usd":')
_CUT = b',"llm_status":'
"""What stands before a row's columns. Inside a text, a quotation mark has a backslash before it."""
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
    return names == b"".join(digests).hex().encode() and lines[-1].endswith(b"}\n")


def paid(lines: Iterable[bytes]) -> list[bytes]:
    """Return what each stored answer cost: dollars between quotation marks, or ``null``."""
    return [line[_PAID : line.index(b",", _PAID)] for line in lines]


def thinking(total: int, lines: bytes) -> int:
    """Return how many of *total* stored answers show the model's reasoning."""
    return total - lines.count(_END)


def beside(line: bytes, index: int, key: bytes) -> bytes:
    """Return a stored answer as our columns of record *index*.

    :param key: The record's key, as JSON.
    """
    return b'{"llm_index":%d,"llm_key":%b,"llm_status":%b' % (index, key, line.partition(_CUT)[2])


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
