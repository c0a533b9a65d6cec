"""Rows as Parquet, by types that depend on the rows and not on their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from airflow_provider_llmbatch.core.outputs import Target
from airflow_provider_llmbatch.exceptions import OutputError
from airflow_provider_llmbatch.storage.tables.columns import OUTPUT, Own, Rows
from airflow_provider_llmbatch.storage.tables.kinds import Kind, Of, Struct, kind_of, merge

if TYPE_CHECKING:
    import pyarrow

DIGITS, PLACES = 38, 18
"""US dollars. 38 digits are the most that Parquet's readers take; a token costs some 10⁻⁷ dollars."""

Cell = Callable[[Any], Any]
_encode = msgspec.json.Encoder().encode


def check(target: Target) -> None:
    """Prove that Parquet can be written at all.

    :raises OutputError: pyarrow is not installed.
    """
    if find_spec("pyarrow") is None:
        raise OutputError(
            f"output_uri {target.uri!r}: Parquet needs pyarrow. Nothing was sent. "
            "Install airflow-provider-llmbatch[parquet] on the workers.",
            output_uri=target.uri,
        )


def schema_of(names: list[str], kinds: list[Kind | Own]) -> pyarrow.Schema:
    """Return the file's schema; a column of JSON text says so in its metadata."""
    import pyarrow

    return pyarrow.schema([_field(name, kind) for name, kind in zip(names, kinds, strict=True)])


def _field(name: str, kind: Kind | Own) -> pyarrow.Field:
    import pyarrow

    return pyarrow.field(name, _type(kind), metadata={"content": "json"} if kind == "json" else None)


def _type(kind: Kind | Own) -> pyarrow.DataType:
    import pyarrow

    if isinstance(kind, Of):
        return pyarrow.list_(_field("element", kind.item))
    if isinstance(kind, Struct):
        return pyarrow.struct([_field(name, field) for name, field in kind.fields])
    scalars = {
        "bool": pyarrow.bool_(),
        "long": pyarrow.int64(),
        "short": pyarrow.int32(),
        "float": pyarrow.float64(),
        "money": pyarrow.decimal128(DIGITS, PLACES),
    }
    return scalars.get(kind, pyarrow.string())


@contextmanager
def parquet(path: Path, names: list[str], kinds: list[Kind | Own]) -> Iterator[Callable[[Rows], None]]:
    """Write groups of rows; each becomes one row group."""
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    schema = schema_of(names, kinds)
    cells = [_checked(kind) if name == OUTPUT else _cell(kind) for name, kind in zip(names, kinds, strict=True)]
    with ParquetWriter(path, schema) as file:

        def write(rows: Rows) -> None:
            columns = [
                pyarrow.array(values if cell is None else map(cell, values), field.type)
                for values, cell, field in zip(zip(*rows, strict=True), cells, schema, strict=True)
            ]
            file.write_table(pyarrow.Table.from_arrays(columns, schema=schema), row_group_size=len(rows))

        yield write


def _cell(kind: Kind | Own) -> Cell | None:
    """Return what makes a value fit for a column of *kind*; ``None`` where there is nothing to do."""
    if isinstance(kind, Of):
        item = _cell(kind.item)
        return item and (lambda value: None if value is None else [item(part) for part in value])
    if isinstance(kind, Struct):
        fields = {name: cell for name, field in kind.fields if (cell := _cell(field))}
        return _struct_cell(fields) if fields else None
    return {"json": json_text, "money": _dollars}.get(kind)


def _struct_cell(fields: dict[str, Cell]) -> Cell:
    return lambda value: (
        value and {name: fields[name](part) if name in fields else part for name, part in value.items()}
    )


def _checked(kind: Kind | Own) -> Cell | None:
    """Do the same for an answer; one that is not good need not be of the column's kind, and is left out then."""
    if kind in ("money", "short"):
        return None
    cell = _cell(kind)

    def fit(value: Any) -> Any:
        if isinstance(value, str) and merge(kind, kind_of(value)) != kind:  # type: ignore[arg-type]
            return None
        return cell(value) if cell else value

    return None if kind == "text" else fit


def json_text(value: Any) -> str | None:
    """Return *value* as JSON; nothing stays nothing."""
    return None if value is None else _encode(value).decode()


def _dollars(value: str | None) -> Decimal | None:
    return None if value is None else round(Decimal(value), PLACES)
