"""Records that a query finds, streamed from the database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, NamedTuple

import msgspec

from airflow_provider_llmbatch._compat import BaseHook
from airflow_provider_llmbatch.exceptions import SourceError
from airflow_provider_llmbatch.sources.values import plain_row

FETCHED = 2000
"""Rows in one answer of the database."""
_WRONG_QUERY = frozenset({"ProgrammingError", "DataError", "NotSupportedError"})
"""What the DB-API calls errors that the same query meets again: https://peps.python.org/pep-0249/#exceptions"""


class SqlSource(NamedTuple):
    """The rows of a query, through the Airflow connection of any database with a DB-API driver.

    A tuple, since Airflow renders the texts in a tuple to a new one: two tasks may share a query and get each its own.

    :param conn_id: The connection. (templated)
    :param sql: The query. Without an ``ORDER BY`` the database decides about the order of the output. (templated)
    :param parameters: What the driver puts in place of the query's placeholders. (templated)
    """

    conn_id: str
    sql: str
    parameters: Mapping[str, Any] | Sequence[Any] | None = None

    def __repr__(self) -> str:
        return f"SqlSource({self.conn_id!r}, {self.sql!r})"

    def identity(self) -> dict[str, Any]:
        """Return the connection's id, the query and its parameters; the rows are not looked at."""
        parameters = msgspec.to_builtins(self.parameters, enc_hook=str, str_keys=True)
        return {"kind": "sql", "conn_id": self.conn_id, "sql": self.sql, "parameters": parameters}

    def rows(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the rows as the database finds them.

        :raises SourceError: The connection is no database, or the query is wrong.
        """
        with closing(self._connect()) as connection, closing(_cursor(connection)) as cursor:
            number = 0
            for names, rows in self._fetched(cursor):
                for row in rows:
                    number += 1
                    where = f"row {number} of the query on {self.conn_id!r}"
                    yield (
                        where,
                        plain_row(row if isinstance(row, Mapping) else dict(zip(names, row, strict=True)), where),
                    )

    def _connect(self) -> Any:
        try:
            hook = BaseHook.get_hook(self.conn_id)
        except Exception as error:  # each Airflow release has its own class for "not found" and "no such hook"
            raise self._error(
                f"the connection cannot be read, or the provider of its type is not installed ({type(error).__name__})"
            ) from None
        connect = getattr(hook, "get_conn", None)
        try:
            connection = connect() if connect else None
        except NotImplementedError:  # a hook of another kind
            connection = None
        if not hasattr(connection, "cursor"):
            raise self._error(f"{type(hook).__name__} does not lead to a database")
        return connection

    def _fetched(self, cursor: Any) -> Iterator[tuple[list[str], Sequence[Any]]]:
        """Yield the columns' names and some rows, again and again."""
        try:
            cursor.execute(self.sql, *([] if self.parameters is None else [self.parameters]))
            while rows := cursor.fetchmany(FETCHED):
                yield self._names(cursor), rows
            self._names(cursor)
        except Exception as error:
            kinds = {kind.__name__ for kind in type(error).__mro__}
            if kinds.isdisjoint(_WRONG_QUERY):
                raise  # the database is busy or away: Airflow's retries may help
            reason = "" if "DataError" in kinds else f": {error}"  # such an error quotes the data
            raise self._error(f"{type(error).__name__}{reason}") from None

    def _names(self, cursor: Any) -> list[str]:
        if cursor.description is None:
            raise self._error("it returns no rows by its nature; a source is a query, such as SELECT")
        names = [column[0] for column in cursor.description]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise self._error(
                f"it returns {', '.join(map(repr, twice))} more than once; only one would survive. Name the columns "
                "apart with AS"
            )
        return names

    def _error(self, what: str) -> SourceError:
        return SourceError(f"the query on {self.conn_id!r}: {what}. Nothing was sent.", conn_id=self.conn_id)


def _cursor(connection: Any) -> Any:
    """Return a cursor that leaves the result at the server, where the driver has such a thing by name: PostgreSQL's.

    A plain one of psycopg would fetch the whole result before the first row is handed over.
    """
    try:
        cursor = connection.cursor(name="llmbatch")
    except TypeError:
        cursor = connection.cursor()
    cursor.arraysize = FETCHED
    return cursor
