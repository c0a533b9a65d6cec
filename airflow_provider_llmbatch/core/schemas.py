"""What an answer must look like, as JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSchema:
    """What an answer must look like.

    :ivar name: The type's name, as the vendors take it: ``^[A-Za-z0-9_-]{1,64}$``.
    :ivar schema: JSON Schema of the answer, as the user's type says it.
    :ivar wire: The schema that is sent: its root is an object, and it keeps to the vendors' strict subset if it can.
    :ivar is_strict: Whether *wire* keeps to it.
    :ivar is_wrapped: Whether the answer stands under ``value`` in an object, since a root must be one.
    """

    name: str
    schema: Mapping[str, Any]
    wire: Mapping[str, Any]
    is_strict: bool
    is_wrapped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A function that the model may call.

    :ivar parameters: JSON Schema of its arguments; an object.
    :ivar raw: A tool in the vendor's own words, sent as it is; then nothing else is set.
    """

    name: str = ""
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    is_strict: bool = False
    raw: Mapping[str, Any] | None = None
