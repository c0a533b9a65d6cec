"""One record's text, made from a Jinja template in a sandbox.

The record is data: its text is inserted, never rendered. Attributes of Python objects are out of reach, so a
template cannot read more than it was given.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from airflow_provider_llmbatch.core.records import Record
from airflow_provider_llmbatch.exceptions import TemplateError


class MissingFieldError(Exception):
    """A template asked for a name that is not there."""

    def __init__(self, name: object) -> None:
        super().__init__(name)
        self.name = name


class _Missing(jinja2.StrictUndefined):
    """Strict, and says which name was missing; ``is defined`` and ``default()`` work as usual."""

    def _raise(self, *_: Any, **__: Any) -> Any:
        raise MissingFieldError(self._undefined_name)

    __str__ = __iter__ = __len__ = __bool__ = __eq__ = __ne__ = __hash__ = __contains__ = _raise
    _fail_with_undefined_error = _raise
    __call__ = __getitem__ = _raise


class RecordView:
    """A record as a template sees it: ``record.text`` and ``record["text"]`` are the same thing.

    It has no attributes of its own, so that a column named ``items`` or ``keys`` is reachable.
    """

    __slots__ = ("_row",)

    def __init__(self, row: Mapping[str, Any]) -> None:
        self._row = row

    def __getitem__(self, name: str) -> Any:
        return self._row[name]

    def __contains__(self, name: object) -> bool:
        return name in self._row

    def __str__(self) -> str:
        return json.dumps(self._row, ensure_ascii=False, default=str)


class Prompt:
    """A template, compiled once and rendered once per record.

    :param template: Jinja source. ``record`` and the names in *context* are available.
    :param context: Names for every record, for example Airflow's ``ds``.
    :param what: The parameter's name, for messages.
    :raises TemplateError: The template is malformed.
    """

    def __init__(self, template: str, context: Mapping[str, Any] | None = None, *, what: str = "prompt") -> None:
        self._what = what
        environment = ImmutableSandboxedEnvironment(undefined=_Missing, keep_trailing_newline=True)
        environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False}
        try:
            self._template = environment.from_string(template, globals=dict(context or {}))
        except jinja2.TemplateSyntaxError as error:
            raise TemplateError(
                f"{what}, line {error.lineno}: {error.message}. Nothing was sent.", parameter=what
            ) from None

    def render(self, record: Record) -> str:
        """Return the text for *record*.

        :raises TemplateError: Names the record's index and the missing field, or says what the template did.
        """
        try:
            return self._template.render(record=RecordView(record.fields))
        except MissingFieldError as missing:
            raise TemplateError(
                f"{self._what}: record {record.index} (key {record.key!r}) has no field {missing.name!r}; it has "
                f"{', '.join(map(repr, record.fields)) or 'none'}. Nothing was sent. "
                f"Correct the template, or write {{{{ record.{missing.name} | default('') }}}}.",
                index=record.index,
                field=missing.name,
            ) from None
        except Exception as error:
            # The template's own error may quote the record's text, which must not reach a log.
            raise TemplateError(
                f"{self._what}: record {record.index} (key {record.key!r}): the template failed with "
                f"{type(error).__name__}. Nothing was sent.",
                index=record.index,
            ) from None
