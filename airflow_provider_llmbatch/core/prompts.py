"""One record's text, made from a Jinja template in a sandbox.

The record is data: its text is inserted, never rendered. Attributes of Python objects are out of reach, so a
template cannot read more than it was given.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from operator import itemgetter
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing as NOWHERE

from airflow_provider_llmbatch.core.records import Block, Record
from airflow_provider_llmbatch.exceptions import TemplateError


class MissingFieldError(Exception):
    """A template asked for a name that is not there.

    :ivar owner: What was asked for it; jinja's ``missing`` for a name that stands alone.
    """

    def __init__(self, name: object, owner: object) -> None:
        super().__init__(name)
        self.name = name
        self.owner = owner


class MethodPrintedError(Exception):
    """A template printed a method where a value was meant."""


class _Missing(jinja2.StrictUndefined):
    """Strict, and says which name was missing in what; ``is defined`` and ``default()`` work as usual."""

    __slots__ = ()

    def __init__(self, hint: str | None = None, obj: Any = NOWHERE, name: Any = None, exc: Any = None) -> None:
        super().__init__(hint, obj, name, lambda _: MissingFieldError(name, obj))  # type: ignore[arg-type]


class RecordView:
    """A record as a template sees it: ``record.text`` and ``record["text"]`` are the same thing.

    It has no attribute that a column may be named like, so that ``items``, ``keys`` and ``_row`` are reachable.
    """

    __slots__ = ("__row",)

    def __init__(self, row: Mapping[str, Any]) -> None:
        self.__row = row

    def __getitem__(self, name: str) -> Any:
        return self.__row[name]

    def __contains__(self, name: object) -> bool:
        return name in self.__row

    def __str__(self) -> str:
        return _to_json(self.__row)

    def __json__(self) -> Mapping[str, Any]:
        return self.__row


def _to_json(value: Any, indent: int | None = None) -> str:
    """Write JSON for a model to read. Jinja's own filter writes it for HTML: ``<`` would cost six characters."""
    return json.dumps(value, ensure_ascii=False, default=_plain, indent=indent)


def _plain(value: Any) -> Any:
    return value.__json__() if isinstance(value, RecordView) else str(value)


def _printable(value: Any) -> Any:
    """Refuse a method: ``{{ record.order.items }}`` means a field, and finds what every Python mapping has."""
    if isinstance(value, (BuiltinFunctionType, FunctionType, MethodType)):
        raise MethodPrintedError(value.__name__)
    return value


class Prompt:
    """A template, compiled once and rendered once per record.

    :param template: Jinja source. ``record`` and the names in *context* are available.
    :param context: Names for every record, for example Airflow's ``ds``.
    :param what: The parameter's name, for messages.
    :raises TemplateError: The template is malformed.
    """

    def __init__(self, template: str, context: Mapping[str, Any] | None = None, *, what: str = "prompt") -> None:
        self._what = what
        self._source = template
        self._plain: _Plain | None = None
        environment = ImmutableSandboxedEnvironment(undefined=_Missing, finalize=_printable, keep_trailing_newline=True)
        environment.filters["tojson"] = _to_json
        try:
            self._plain = _Plain.of(environment.parse(template))
            self._template = environment.from_string(template, globals=dict(context or {}))
        except jinja2.TemplateSyntaxError as error:
            raise TemplateError(
                f"{what}, line {error.lineno}: {error.message}. Nothing was sent.", parameter=what
            ) from None

    @property
    def is_constant(self) -> bool:
        """Whether every record gets the same text."""
        return self._plain is not None and not self._plain.fields

    def render(self, record: Record) -> str:
        """Return the text for *record*.

        :raises TemplateError: Names the record's index and the missing field, or says what the template did.
        """
        text = self._plain.render(record.fields) if self._plain is not None else None
        return self._rendered(record) if text is None else text

    def render_all(self, block: Block) -> list[str]:
        """Return the texts for all records of *block*.

        :raises TemplateError: As :meth:`render`.
        """
        texts = self._plain.render_all(block.rows) if self._plain is not None else None
        return [self.render(record) for record in block.records()] if texts is None else texts

    def _rendered(self, record: Record) -> str:
        try:
            return self._template.render(record=RecordView(record.fields))
        except MissingFieldError as missing:
            name = self._spelt(missing.name)
            raise TemplateError(
                f"{self._what}: record {record.index} (key {record.key!r}) {_complaint(name, missing.owner, record)} "
                "Nothing was sent.",
                index=record.index,
                field=name,
            ) from None
        except MethodPrintedError as method:
            raise TemplateError(
                f"{self._what}: record {record.index} (key {record.key!r}): {method} is a method here, not a field. "
                f"Nothing was sent. Write [{str(method)!r}] instead of .{method} to reach the field.",
                index=record.index,
            ) from None
        except Exception as error:
            # The template's own error may quote the record's text, which must not reach a log.
            raise TemplateError(
                f"{self._what}: record {record.index} (key {record.key!r}): the template failed with "
                f"{type(error).__name__}. Nothing was sent.",
                index=record.index,
            ) from None

    def _spelt(self, name: object) -> str | None:
        """Return *name* if the template itself spells it; a name that it computed may be the record's text."""
        return name if isinstance(name, str) and name in self._source else None


_PRINTED_AS_THEY_ARE = frozenset((str, int, float, bool, type(None)))
"""What Jinja prints as ``str()`` does, whatever the field."""
_TEXT = frozenset((str,))


class _Plain:
    """A template of nothing but text and fields of the record. Without Jinja it takes a tenth of the time.

    :ivar fields: Their names, in the order of the template.
    """

    def __init__(self, parts: list[str], fields: list[str]) -> None:
        self._parts = parts
        self.fields = fields

    @classmethod
    def of(cls, template: nodes.Template) -> _Plain | None:
        """Return *template* in this form, or ``None`` if it needs Jinja."""
        parts = [""]
        fields: list[str] = []
        for statement in template.body:
            if not isinstance(statement, nodes.Output):
                return None
            for node in statement.nodes:
                field = _field_of(node)
                if isinstance(node, nodes.TemplateData):
                    parts[-1] += node.data
                elif field is not None:
                    fields.append(field)
                    parts.append("")
                else:
                    return None
        return cls(parts, fields)

    def render(self, row: Mapping[str, Any]) -> str | None:
        """Return the text, or ``None`` where a field is missing or no plain value."""
        texts = self.render_all([row])
        return None if texts is None else texts[0]

    def render_all(self, rows: Sequence[Mapping[str, Any]]) -> list[str] | None:
        """Return the text of every row, or ``None`` where :meth:`render` has to look at each. No call per row."""
        if not self.fields:
            return self._parts * len(rows)
        columns: list[Iterable[str]] = []
        for part, name in zip(self._parts, self.fields, strict=False):
            try:
                values = list(map(itemgetter(name), rows))
            except KeyError:
                return None
            types = set(map(type, values))
            if not types <= _PRINTED_AS_THEY_ARE:
                return None
            columns += (repeat(part), values if types == _TEXT else map(str, values))
        return list(map("".join, zip(*columns, repeat(self._parts[-1]), strict=False)))


def _field_of(node: nodes.Node) -> str | None:
    """Return the field that ``record.name`` or ``record["name"]`` asks for."""
    if isinstance(node, nodes.Getattr):
        name: Any = node.attr
    elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        name = node.arg.value
    else:
        return None
    is_of_record = isinstance(node.node, nodes.Name) and node.node.name == "record"
    return name if is_of_record and isinstance(name, str) and not name.startswith("_") else None


def _complaint(name: str | None, owner: object, record: Record) -> str:
    """Say what is missing, without a word of the record's text."""
    if owner is NOWHERE:
        return f"is asked for {name!r}, which is no name here. A field of the record is reached as record.{name}."
    if name is None:
        return f"has no field by a name that the template computes; it has {_names(record)}. Correct the template."
    if not isinstance(owner, RecordView):
        return f"has no field {name!r} in a {type(owner).__name__}. Correct the template, or use default()."
    access = f".{name}" if name.isidentifier() else f"[{name!r}]"
    return (
        f"has no field {name!r}; it has {_names(record)}. Correct the template, or write "
        f"{{{{ record{access} | default('') }}}}."
    )


def _names(record: Record) -> str:
    return ", ".join(map(repr, record.fields)) or "none"
