"""Records in tables of columns: Parquet files, and whatever speaks the Arrow C stream protocol.

pandas (2.2 and later), Polars, pyarrow and DuckDB all speak it: https://arrow.apache.org/docs/format/CDataInterface/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import IO, Any

import msgspec

from airflow_provider_llmbatch.core.records import Rows, in_blocks
from airflow_provider_llmbatch.exceptions import InputError, SourceError
from airflow_provider_llmbatch.sources.values import plain_row

BATCH = 1024
"""Rows that are turned into Python objects at once."""
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")


def read_parquet(uri: str, file: IO[bytes]) -> Iterator[Rows]:
    """Yield the rows of a Parquet file. No more than one row group of it is in memory."""
    return in_blocks(_parquet_rows(uri, file))


def _parquet_rows(uri: str, file: IO[bytes]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    import_pyarrow(f"source {uri!r}")
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(file, pre_buffer=False)
        for number, row in enumerate(_rows(table.schema_arrow, table.iter_batches(BATCH), uri), 1):
            where = f"{uri}, row {number}"
            yield where, plain_row(row, where)
    except (pyarrow.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise  # the storage failed, not the file; pyarrow's own errors have no number
        raise SourceError(
            f"source {uri!r} is not Parquet, or is not whole ({type(error).__name__}). Nothing was sent.", uri=uri
        ) from None


def is_arrow(value: object) -> bool:
    """Return whether *value* speaks the Arrow C stream protocol. Its type is asked: it may have columns of any name."""
    return hasattr(type(value), "__arrow_c_stream__")


class ArrowSource:
    """A data frame, or another table in memory.

    Its ``str()`` shows only what it is: Airflow writes that, not the rows, to its rendered-template view.
    """

    def __init__(self, table: Any) -> None:
        self._table = table
        self._name = type(table).__name__
        self._identity: dict[str, Any] | None = None

    def __repr__(self) -> str:
        return f"<rows of a {self._name}>"

    def identity(self) -> dict[str, Any]:
        """Return the number of rows and a digest of them."""
        if self._identity is None:
            digest, count = sha256(), 0
            encode = msgspec.json.Encoder().encode
            for _, row in self.rows():
                digest.update(encode(row) + b"\n")
                count += 1
            self._identity = {"kind": "table", "records": count, "sha256": digest.hexdigest()}
        return dict(self._identity)

    def rows(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the rows in order.

        :raises SourceError: It is a stream that was read before.
        """
        import_pyarrow(f"source, a {self._name},")
        import pyarrow

        number = 0
        try:
            stream = pyarrow.RecordBatchReader.from_stream(self._table)
            for number, row in enumerate(_rows(stream.schema, stream, repr(self)), 1):
                where = f"row {number} of the {self._name}"
                yield where, plain_row(row, where)
        except pyarrow.ArrowException as error:
            raise SourceError(
                f"source: the {self._name} cannot be read as Arrow ({type(error).__name__}). Nothing was sent."
            ) from None
        if self._identity and number < self._identity["records"]:
            raise SourceError(
                f"source: the {self._name} can be read only once, and that was needed to know it again. Nothing was "
                "sent. Hand over a table, or yield it from a function with @task.llm_batch_job."
            )


def import_pyarrow(what: str) -> None:
    """Refuse *what* where pyarrow is not installed.

    :raises InputError: Names the extra.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise InputError(
            f"{what} needs pyarrow, which is not installed. Nothing was sent. "
            "pip install 'airflow-provider-llmbatch[parquet]'"
        ) from None


def _rows(schema: Any, batches: Iterable[Any], what: str) -> Iterator[dict[str, Any]]:
    """Yield each row as a mapping in the order of the columns."""
    import pyarrow

    names = [name for name in schema.names if not _PANDAS_INDEX.fullmatch(name)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SourceError(
            f"{what} has {', '.join(map(repr, twice))} more than once; only one would survive. Nothing was sent. "
            "Rename the column."
        )
    readable = pyarrow.schema([pyarrow.field(name, _in_microseconds(schema.field(name).type)) for name in names])
    for batch in batches:
        whole = batch.select(names) if len(names) < len(schema.names) else batch
        for start in range(0, whole.num_rows, BATCH):
            part = whole.slice(start, BATCH)
            yield from (part if part.schema.types == readable.types else part.cast(readable, safe=False)).to_pylist()


def _in_microseconds(kind: Any) -> Any:
    """Return the type with no time finer than Python's, which has no nanoseconds."""
    from pyarrow import duration, list_, struct, time64, timestamp, types

    if types.is_timestamp(kind) and kind.unit == "ns":
        return timestamp("us", kind.tz)
    if types.is_duration(kind) and kind.unit == "ns":
        return duration("us")
    if types.is_time64(kind) and kind.unit == "ns":
        return time64("us")
    if types.is_list(kind):
        return list_(kind.value_field.with_type(_in_microseconds(kind.value_type)))
    if types.is_struct(kind):
        return struct([field.with_type(_in_microseconds(field.type)) for field in kind])
    return kind
