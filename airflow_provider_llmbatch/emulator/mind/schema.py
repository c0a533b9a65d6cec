"""Fill a JSON schema: a document that satisfies it, chosen by the words of the text where there is a choice."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from airflow_provider_llmbatch.emulator.ids import digest, fraction
from airflow_provider_llmbatch.emulator.mind.labels import choose, judge, polarity
from airflow_provider_llmbatch.emulator.mind.patterns import example

MAX_DEPTH = 8
"""Depth at which a recursive schema is cut short: optional parts are left out below it."""

_FORMATS = {
    "date": "2026-01-{day:02d}",
    "date-time": "2026-01-{day:02d}T12:00:00Z",
    "time": "12:{day:02d}:00Z",
    "duration": "P{day}D",
    "email": "user{day}@example.com",
    "hostname": "host{day}.example.com",
    "ipv4": "192.0.2.{day}",
    "ipv6": "2001:db8::{day}",
    "uri": "https://example.com/{day}",
    "uuid": "00000000-0000-4000-8000-0000000000{day:02d}",
}


class Filler:
    """Fills one schema for one text.

    :param schema: The whole schema, to which ``$ref`` refers.
    :param text: What the document is about.
    :param key: Decides where the words do not.
    """

    def __init__(self, schema: Mapping[str, Any], text: str, key: str) -> None:
        self.root = schema
        self.text = text
        self.key = key

    def fill(self, schema: Any, name: str = "", depth: int = 0) -> Any:
        """Return a value for *schema*; *name* is the property it is for."""
        schema = self._resolve(schema, name, depth)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._pick(schema["enum"], name)
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((one for one in kind if one != "null"), "null")
        if kind is None:
            kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
        return getattr(self, f"_{kind}", self._null)(schema, name, depth)

    def _resolve(self, schema: Any, name: str, depth: int) -> Mapping[str, Any]:
        """Follow references and choices until the schema says for itself what it wants."""
        for _ in range(32):
            if not isinstance(schema, Mapping):
                return {}
            if "$ref" in schema:
                schema = {**self._follow(schema["$ref"]), **{k: v for k, v in schema.items() if k != "$ref"}}
            elif schema.get("allOf"):
                merged: dict[str, Any] = {k: v for k, v in schema.items() if k != "allOf"}
                for part in schema["allOf"]:
                    merged = _merge(merged, self._resolve(part, name, depth))
                schema = merged
            elif options := schema.get("anyOf") or schema.get("oneOf"):
                schema = self._option(options, name, depth)
            else:
                return schema
        return {}

    def _option(self, options: list[Any], name: str, depth: int) -> Any:
        if depth >= MAX_DEPTH:
            return options[-1] if {"type": "null"} not in options else {"type": "null"}
        real = [option for option in options if option != {"type": "null"}] or options
        return real[int(digest(self.key, name, "option")[:4], 16) % len(real)]

    def _follow(self, reference: str) -> dict[str, Any]:
        target: Any = self.root
        for part in reference.lstrip("#/").split("/") if reference != "#" else ():
            target = target.get(part.replace("~1", "/").replace("~0", "~"), {}) if isinstance(target, Mapping) else {}
        return dict(target) if isinstance(target, Mapping) else {}

    def _pick(self, values: list[Any], name: str) -> Any:
        texts = [value for value in values if isinstance(value, str)]
        if texts:
            return choose(texts, self.text, f"{self.key}/{name}")
        return values[int(digest(self.key, name)[:8], 16) % len(values)]

    def _object(self, schema: Mapping[str, Any], name: str, depth: int) -> dict[str, Any]:
        wanted = schema.get("properties", {})
        if depth >= MAX_DEPTH:
            wanted = {key: value for key, value in wanted.items() if key in schema.get("required", ())}
        return {key: self.fill(value, key, depth + 1) for key, value in wanted.items()}

    def _array(self, schema: Mapping[str, Any], name: str, depth: int) -> list[Any]:
        least, most = schema.get("minItems", 0), schema.get("maxItems", 3)
        wanted = max(least, 0 if depth >= MAX_DEPTH else min(most, 1))
        items = [self.fill(schema.get("items", {}), f"{name}{n or ''}", depth + 1) for n in range(wanted)]
        if schema.get("uniqueItems") and len(set(map(str, items))) < wanted:
            return self._distinct(schema.get("items", {}), wanted)
        return items

    def _distinct(self, schema: Any, wanted: int) -> list[Any]:
        values = self._resolve(schema, "", 0).get("enum")
        return list(values[:wanted]) if values else [f"item {n + 1}" for n in range(wanted)]

    def _string(self, schema: Mapping[str, Any], name: str, depth: int) -> str:
        if schema.get("pattern"):
            return example(schema["pattern"], self.key)
        day = 1 + int(digest(self.key, name)[:4], 16) % 28
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]].format(day=day)
        words = " ".join(self.text.split()) or "nothing"
        text = words if len(words) <= 80 else words[:79].rsplit(" ", 1)[0] + "…"
        text = text.ljust(schema.get("minLength", 0), ".")
        return text[: schema.get("maxLength", len(text))]

    def _integer(self, schema: Mapping[str, Any], name: str, depth: int) -> int:
        low, high = _bounds(schema, 1)
        step = schema.get("multipleOf", 1)
        return int(self._between(math.ceil(low / step), math.floor(high / step), name)) * int(step)

    def _number(self, schema: Mapping[str, Any], name: str, depth: int) -> float:
        low, high = _bounds(schema, 0.01)
        step = schema.get("multipleOf", 0.01)
        return round(self._between(math.ceil(low / step), math.floor(high / step), name) * float(step), 6)

    def _between(self, low: int, high: int, name: str) -> int:
        """Return a whole number: a rating by the text's sentiment, a number that the text names, or any."""
        if re.search(r"rating|stars|score|sentiment", name, re.IGNORECASE):
            return low + round((high - low) * (max(-2, min(2, polarity(self.text))) + 2) / 4)
        for found in re.findall(r"(?<![\w.])\d{1,9}(?![\w.])", self.text[:2_000]):
            if low <= int(found) <= high:
                return int(found)
        return low + int(fraction(self.key, name) * (high - low + 1))

    def _boolean(self, schema: Mapping[str, Any], name: str, depth: int) -> bool:
        verdict = judge(name.replace("_", " "), self.text)
        return fraction(self.key, name, self.text) < 0.5 if verdict is None else verdict

    def _null(self, schema: Mapping[str, Any], name: str, depth: int) -> None:
        return None


def _bounds(schema: Mapping[str, Any], step: float) -> tuple[float, float]:
    low = schema.get("minimum", schema["exclusiveMinimum"] + step if "exclusiveMinimum" in schema else None)
    high = schema.get("maximum", schema["exclusiveMaximum"] - step if "exclusiveMaximum" in schema else None)
    if low is None:
        low = 0 if high is None or high >= 0 else high - 100
    return low, low + (100 if step == 1 else 1) if high is None else high


def _merge(first: dict[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**first, **second}
    if "properties" in first and "properties" in second:
        merged["properties"] = first["properties"] | second["properties"]
    if "required" in first and "required" in second:
        merged["required"] = [*first["required"], *second["required"]]
    return merged
