"""How many tokens a request probably has, counted without a tokenizer.

A vendor's tokenizer is not public, or has to be fetched; what a model makes of text depends on the script first of all.
The figures are rough: what an earlier job really used corrects them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

CHARACTERS_PER_TOKEN = {"latin": 4.0, "other": 2.5, "cjk": 1.0, "json": 3.0}
"""English prose has four characters to a token of ``o200k``, Chinese and Japanese about one (FACTS §5.3). Other scripts
and JSON (tools, schemas) lie between; they are the least certain."""
PER_MESSAGE = 4
"""Tokens around each message: three to five (FACTS §5.3)."""
PICTURE, DOCUMENT = 1_500, 3_000
"""A picture of a million pixels at Anthropic; two pages of a PDF. The size is not looked at."""
DEFAULT_ERROR = 0.3
"""By how much all that may be wrong, as a share: code and numbers take three characters to a token, not four."""

_CJK = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)
_OTHER = re.compile(r"[\u0370-\u1dff\u2c00-\u2dff\ua000-\uabff\U0001f000-\U0001faff]")
_TEXTS = ("system", "instructions", "messages", "input", "prompt")
_JSON = ("tools", "functions", "response_format", "text", "output_config", "output_format")
_NO_TEXT = frozenset({"role", "type", "id", "name", "cache_control", "tool_use_id", "tool_call_id", "detail"})
_PICTURES = frozenset({"image", "image_url", "input_image"})
_DOCUMENTS = frozenset({"document", "file", "input_file", "input_audio"})


class Weight(NamedTuple):
    """What a request's text amounts to.

    :ivar characters: Of all its texts.
    :ivar tokens: By the figures above.
    :ivar guessed: Of these, for pictures and documents, whose size nobody looked at.
    """

    characters: int = 0
    tokens: float = 0.0
    guessed: float = 0.0

    def __add__(self, other: Weight) -> Weight:  # type: ignore[override]
        return Weight(self.characters + other.characters, self.tokens + other.tokens, self.guessed + other.guessed)


def weigh(body: Mapping[str, Any]) -> Weight:
    """Return what the texts in a request's *body* amount to, whichever vendor it is for."""
    total = Weight()
    for name in _TEXTS:
        total += _weigh(body.get(name))
    for name in _JSON:
        if isinstance(body.get(name), Mapping | list):
            total += _weigh_text(msgspec.json.encode(body[name]).decode(), "json")
    return total


def _weigh(value: Any) -> Weight:
    if isinstance(value, str):
        return _weigh_text(value)
    if isinstance(value, Mapping):
        return _weigh_mapping(value)
    if isinstance(value, Sequence):
        return sum(map(_weigh, value), Weight())
    return Weight(tokens=1) if isinstance(value, int) else Weight()  # embeddings take tokens, by number


def _weigh_mapping(value: Mapping[str, Any]) -> Weight:
    kind = value.get("type")
    if kind in _PICTURES:
        return Weight(tokens=PICTURE, guessed=PICTURE)
    if kind in _DOCUMENTS:
        source = value.get("source")
        if isinstance(source, Mapping) and source.get("type") == "text":
            return _weigh(source.get("data"))
        return Weight(tokens=DOCUMENT, guessed=DOCUMENT)
    inner = sum((_weigh(item) for name, item in value.items() if name not in _NO_TEXT), Weight())
    return inner + Weight(tokens=PER_MESSAGE) if "role" in value else inner


def _weigh_text(text: str, usual: str = "latin") -> Weight:
    if text.isascii():
        return Weight(len(text), len(text) / CHARACTERS_PER_TOKEN[usual])
    cjk, other = len(_CJK.findall(text)), len(_OTHER.findall(text))
    counts = {"cjk": cjk, "other": other, usual: len(text) - cjk - other}
    return Weight(len(text), sum(count / CHARACTERS_PER_TOKEN[name] for name, count in counts.items()))
