"""``/v1/embeddings``: vectors of length one that depend on the text alone."""

from __future__ import annotations

import base64
import hashlib
import math
import struct
from typing import Any

import msgspec

from airflow_provider_llmbatch.emulator.mind.ask import count_bytes, count_tokens
from airflow_provider_llmbatch.emulator.openai import params
from airflow_provider_llmbatch.emulator.openai.params import Body, Rules, Turn, Written, bad, need, one_of, typed
from airflow_provider_llmbatch.emulator.usage import Usage
from airflow_provider_llmbatch.emulator.wire import words

KNOWN = words("dimensions encoding_format input model user stream")
DIMENSIONS = {"text-embedding-3-small": 1_536, "text-embedding-3-large": 3_072, "text-embedding-ada-002": 1_536}
_MAX_INPUTS = 2_048
"""Inputs of one request (O-SPEC)."""
_MAX_TOKENS = 8_192
"""Tokens of one input (O-SPEC)."""


class Inputs(msgspec.Struct):
    """Texts to embed."""

    model: str
    texts: list[str]
    dimensions: int
    as_base64: bool
    tokens: int

    @property
    def count(self) -> int:
        """Inputs, as the limit of a batch counts them."""
        return len(self.texts)


def read(body: Body, rules: Rules) -> Inputs:
    """Check *body* and return what it asks."""
    model = params.known_model(body, rules)
    params.check_known(body, KNOWN)
    texts = _read_input(need(body, "input", str, list))
    most = DIMENSIONS.get(model, 1_536)
    dimensions = params.whole(body, "dimensions", 1, most)
    if dimensions is not None and model == "text-embedding-ada-002":
        raise bad("This model does not support specifying dimensions.", "dimensions", "unsupported_parameter")
    form = one_of(body.get("encoding_format") or "float", "encoding_format", ("float", "base64"))
    counts = [count_tokens(count_bytes(text)) for text in texts]
    if max(counts) > _MAX_TOKENS:
        text = f"Invalid 'input': maximum context length is {_MAX_TOKENS} tokens, got {max(counts)}."
        raise bad(text, "input", "context_length_exceeded")
    return Inputs(model, texts, dimensions or most, form == "base64", sum(counts))


def _read_input(given: Any) -> list[str]:
    """Return the texts; arrays of token numbers count as text too."""
    texts = [given] if isinstance(given, str) else given
    if texts and all(isinstance(token, int) for token in texts):
        texts = [texts]
    if not 1 <= len(texts) <= _MAX_INPUTS:
        text = f"Invalid 'input': expected 1 to {_MAX_INPUTS} inputs, got {len(texts)}."
        raise bad(text, "input", "invalid_value")
    texts = [str(text) if isinstance(text, list) else typed(text, "input", str) for text in texts]
    if not all(texts):
        raise bad("Invalid 'input': input cannot be an empty string.", "input", "invalid_value")
    return texts


def write(inputs: Inputs, turn: Turn) -> Written:
    """Embed each text."""
    make = _as_base64 if inputs.as_base64 else _as_floats
    data = [
        {"object": "embedding", "index": number, "embedding": make(_bytes(inputs, text, turn.options.seed))}
        for number, text in enumerate(inputs.texts)
    ]
    usage = {"prompt_tokens": inputs.tokens, "total_tokens": inputs.tokens}
    body = {"object": "list", "data": data, "model": inputs.model, "usage": usage}
    return Written(body, Usage(input=inputs.tokens))


def _bytes(inputs: Inputs, text: str, seed: int) -> bytes:
    """Return one byte per dimension, from which the vector is scaled."""
    return hashlib.shake_128(f"{seed}\x1f{inputs.model}\x1f{text}".encode()).digest(inputs.dimensions)


def _scale(data: bytes) -> list[float]:
    """Return the 256 values that a byte may stand for, so that the whole vector has length one."""
    length = math.sqrt(sum((byte - 127.5) ** 2 for byte in data))
    return [(byte - 127.5) / length for byte in range(256)]


def _as_floats(data: bytes) -> msgspec.Raw:
    # Writing 256 numbers and joining them is many times faster than writing 1,536.
    written = [f"{value:.8f}" for value in _scale(data)]
    return msgspec.Raw(f"[{','.join([written[byte] for byte in data])}]".encode())


def _as_base64(data: bytes) -> str:
    scale = _scale(data)
    return base64.b64encode(struct.pack(f"<{len(data)}f", *[scale[byte] for byte in data])).decode()
