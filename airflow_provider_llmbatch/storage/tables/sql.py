"""Rows in a table of a database: those of one job replace each other, in one transaction.

Airflow's hook finds the database; SQLAlchemy writes its dialect and quotes its names. Of an error while rows are loaded
only the class is passed on: its text quotes the value that was refused.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from airflow_provider_llmbatch._compat import BaseHook
from airflow_provider_llmbatch.core.outputs import Target
from airflow_provider_llmbatch.exceptions import OutputError, RunError
from airflow_provider_llmbatch.storage.tables.columns import Own, Spill
from airflow_provider_llmbatch.storage.tables.kinds import Kind
from airflow_provider_llmbatch.storage.tables.parquet import DIGITS, PLACES, json_text

if TYPE_CHECKING:
    import sqlalchemy

log = logging.getLogger(__name__)

JOB = "llm_job"
"""The column that says whose rows these are."""
INDEX = "llm_index"
_KEY_LENGTH = 64
_BATCH_ROWS = 1_000
_PROBE = "llmbatch_probe"

Cell = Callable[[Any], Any]


class _UnfitError(Exception):
    """The table or the connection is not what is needed; the text may be shown."""


def check(target: Target) -> None:
    """Prove that the table takes rows, or can be made.

    :raises OutputError: It cannot; nothing was sent.
    """
    try:
        with _engine(target) as engine:
            table = _existing(engine, target)
            if table is None:
                _try_to_create(engine, target)
            else:
                _try_to_write(engine, table)
    except Exception as error:  # each database and each connection has errors of its own
        reason = str(getattr(error, "orig", None) or error).partition("\n")[0]
        raise OutputError(
            f"output_uri {target.uri!r} cannot be written ({_name_of(error)}: {reason}). Nothing was sent.",
            output_uri=target.uri,
        ) from None


def load(target: Target, spill: Spill, job: str) -> None:
    """Replace the rows of *job* by those of *spill*; the table is made if it is not there.

    :raises RunError: The database refused; it has the rows that it had before.
    """
    try:
        with _engine(target) as engine:
            table = _existing(engine, target)
            if table is None:
                table = _made(engine, target, spill)
            with engine.begin() as connection:
                connection.execute(table.delete().where(table.c[JOB] == job))
                for rows in _batches(spill, table, job, engine.dialect):
                    connection.execute(table.insert(), rows)
    except Exception as error:  # each database has errors of its own
        reason = str(error) if isinstance(error, _UnfitError) else _name_of(error)
        raise RunError(
            f"The rows were not loaded into {target.uri!r} ({reason}); its rows are as they were. Everything "
            "paid is kept in the job's folder: clear the task to load the same rows again at no cost.",
            output_uri=target.uri,
        ) from None


@contextmanager
def _engine(target: Target) -> Iterator[sqlalchemy.Engine]:
    hook = BaseHook.get_hook(target.conn_id)
    if not hasattr(hook, "get_sqlalchemy_engine"):
        raise _UnfitError(f"connection {target.conn_id!r} is of no database")
    engine = hook.get_sqlalchemy_engine(engine_kwargs={"hide_parameters": True})
    try:
        yield engine
    finally:
        engine.dispose()


def _existing(engine: sqlalchemy.Engine, target: Target) -> sqlalchemy.Table | None:
    """Return the table as the database has it, or ``None``."""
    import sqlalchemy

    *schema, name = target.names
    if not sqlalchemy.inspect(engine).has_table(name, schema=_dotted(schema)):
        return None
    table = sqlalchemy.Table(name, sqlalchemy.MetaData(), schema=_dotted(schema), autoload_with=engine)
    missing = [column for column in (JOB, INDEX) if column not in table.c]
    if missing:
        raise _UnfitError(f"the table has no column {' and no '.join(missing)}, by which rows are replaced")
    return table


def _dotted(schema: Sequence[str]) -> str | None:
    return ".".join(schema) or None


def _made(engine: sqlalchemy.Engine, target: Target, spill: Spill) -> sqlalchemy.Table:
    """Make the table; another job may be faster, and then it is theirs."""
    table = _new(target, spill)
    try:
        with engine.begin() as connection:
            table.create(connection)
    except Exception:  # each database says in words of its own that there is one; so we look
        theirs = _existing(engine, target)
        if theirs is None:
            raise
        return theirs
    return table


def _new(target: Target, spill: Spill) -> sqlalchemy.Table:
    """Return the table as it is to be made."""
    import sqlalchemy

    *schema, name = target.names
    columns = [
        sqlalchemy.Column(column, _type(kind), primary_key=column == INDEX, autoincrement=False)
        for column, kind in zip(spill.columns.names, spill.columns.kinds, strict=True)
    ]
    key = sqlalchemy.Column(JOB, sqlalchemy.String(_KEY_LENGTH), primary_key=True)
    return sqlalchemy.Table(name, sqlalchemy.MetaData(), key, *columns, schema=_dotted(schema))


def _type(kind: Kind | Own) -> Any:
    import sqlalchemy
    from sqlalchemy.dialects import mysql

    text = sqlalchemy.Text().with_variant(mysql.LONGTEXT(), "mysql")  # its TEXT ends at 64 KiB
    types = {
        "bool": sqlalchemy.Boolean(),
        "long": sqlalchemy.BigInteger(),
        "short": sqlalchemy.Integer(),
        "float": sqlalchemy.Float(53),
        # SQLite has no decimals: as a number, a price would lose digits
        "money": sqlalchemy.Numeric(DIGITS, PLACES).with_variant(sqlalchemy.Text(), "sqlite"),
    }
    return types.get(kind, text) if isinstance(kind, str) else text


def _batches(
    spill: Spill, table: sqlalchemy.Table, job: str, dialect: sqlalchemy.Dialect
) -> Iterator[list[dict[str, Any]]]:
    import sqlalchemy

    names = spill.columns.names
    left_out = [name for name in names if name not in table.c]
    if left_out:
        log.warning("Table %s has no column %s: not loaded.", table.fullname, ", ".join(left_out))
    for column in table.c:
        if isinstance(column.type, sqlalchemy.JSON):
            column.type.none_as_null = True
    kinds = dict(zip(names, spill.columns.kinds, strict=True))
    cells = [
        (at, name, _cell(table.c[name].type.dialect_impl(dialect), kinds[name]))
        for at, name in enumerate(names)
        if name in table.c
    ]
    for group in spill.groups():
        for start in range(0, len(group), _BATCH_ROWS):
            yield [
                {JOB: job, **{name: cell(row[at]) for at, name, cell in cells}}
                for row in group[start : start + _BATCH_ROWS]
            ]


def _cell(column: Any, kind: Kind | Own) -> Cell:
    """Return what makes a value fit for *column*: a column of the user's own may be JSON or an array."""
    import sqlalchemy

    if isinstance(column, (sqlalchemy.JSON, sqlalchemy.ARRAY)):
        return lambda value: value
    if kind == "json":
        return json_text
    if kind == "money" and isinstance(column, sqlalchemy.Numeric):
        return lambda value: None if value is None else Decimal(value)
    return _plain


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\ufffd") if "\0" in value else value  # PostgreSQL's text holds no NUL
    return json_text(value) if isinstance(value, (list, dict)) else value


# -- before anything is sent ------------------------------------------------------------------------------------------


def _try_to_create(engine: sqlalchemy.Engine, target: Target) -> None:
    import sqlalchemy

    *schema, _ = target.names
    key = sqlalchemy.Column(JOB, sqlalchemy.String(_KEY_LENGTH), primary_key=True)
    probe = sqlalchemy.Table(f"{_PROBE}_{uuid4().hex}", sqlalchemy.MetaData(), key, schema=_dotted(schema))
    with engine.begin() as connection:
        probe.create(connection)
        probe.drop(connection)


def _try_to_write(engine: sqlalchemy.Engine, table: sqlalchemy.Table) -> None:
    """Delete and insert no rows: databases check what is allowed before they look for rows."""
    import sqlalchemy

    nothing = sqlalchemy.select(table.c[JOB], table.c[INDEX]).where(sqlalchemy.false())
    with engine.begin() as connection:
        connection.execute(table.delete().where(sqlalchemy.false()))
        connection.execute(table.insert().from_select([JOB, INDEX], nothing))


def _name_of(error: Exception) -> str:
    """Return the class of an error, the driver's own where there is one."""
    cause = getattr(error, "orig", None) or error  # SQLAlchemy's errors carry the driver's
    code = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    return f"{type(cause).__name__}, SQLSTATE {code}" if code else type(cause).__name__
