"""Values as JSON has them: what a database, a table or a function hands over becomes what a record's file holds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, time
from math import isfinite
from typing import Any

import msgspec

from airflow_provider_llmbatch.exceptions import SourceError

_AS_THEY_ARE = frozenset({str, int, bool, type(None)})


def plain_row(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return *row* with every value as JSON has it.

    A template must see the same value in the first round, when the source is read, and in the second, when the
    record comes from its file. So times become ISO 8601, decimals text, bytes base64 text, and NaN null.

    :raises SourceError: A value has no counterpart in JSON. The message names its column and type, not the value.
    """
    plain: dict[str, Any] = {}
    for name, value in row.items():
        try:
            plain[name] = value if type(value) in _AS_THEY_ARE else _plain(value)
        except (TypeError, ValueError, RecursionError):
            raise SourceError(
                f"{where}: column {name!r} is or holds what JSON cannot ({type(value).__name__}). Nothing was sent. "
                "Make it text or a number."
            ) from None
    return plain


def _plain(value: Any) -> Any:
    kind = type(value)
    if kind in _AS_THEY_ARE:
        return value
    if kind is float:
        return value if isfinite(value) else None
    if kind is list or kind is tuple:
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    return msgspec.to_builtins(value, enc_hook=_as_its_base, order="deterministic", str_keys=True)


def _as_its_base(value: Any) -> Any:
    """Take a subclass for what it is made of: drivers bring their own kinds of text, numbers and times."""
    if isinstance(value, date | time):
        return value.isoformat()
    for base in (str, int, float):
        if isinstance(value, base):
            return _plain(base(value))
    raise TypeError(type(value).__name__)
