"""Named queries: each is in a `.sql` file, which is read once at import.

A block of a file begins with

    -- name: load_members
    -- What it does, in a line or more.
    -- $1 organisation ids, $2 member ids: as pairs
    -- roles: provisioner

and ends at the next `-- name:`. `roles` are the service roles that run it (`ingress`,
`provisioner`, `notifier`) or `owner` for the operator. A test prepares each query under each role.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "sql"
ROLES: Final = frozenset({"ingress", "provisioner", "notifier", "owner"})
_NAME: Final = re.compile(r"^-- name: *([a-z][a-z0-9_]*) *$", re.MULTILINE)


class MissingQuery(LookupError):
    """The code asks for a query that its `.sql` file does not have, or the file is malformed."""


@dataclass(frozen=True, slots=True)
class Query:
    """One named query: its description, its SQL with `$n`, and the roles that run it."""

    name: str
    description: str
    roles: tuple[str, ...]
    sql: str


class Queries:
    """The queries of one file. `queries["load_members"]` is its SQL; MissingQuery at import."""

    def __init__(self, file_name: str, queries: Mapping[str, Query]) -> None:
        self._file_name = file_name
        self._queries = queries

    def __getitem__(self, name: str) -> str:
        try:
            return self._queries[name].sql
        except KeyError:
            raise MissingQuery(f"{self._file_name} has no query {name!r}") from None

    def all(self) -> tuple[Query, ...]:
        """Every query, in the order of the file."""
        return tuple(self._queries.values())


@lru_cache(maxsize=1024)
def in_schema(sql: str, schema: str, instead: str) -> str:
    """The query with the tables of schema `schema` replaced by those of schema `instead`.

    Both are plain lower-case names. Our queries name every table with its schema, and nothing else
    in them has such a name before a dot.
    """
    return re.sub(rf"\b{schema}\.", f"{instead}.", sql)


def load(module: str) -> Queries:
    """The queries of `sql/<module>.sql`. Raises MissingQuery if it cannot be read."""
    path = FOLDER / f"{module}.sql"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise MissingQuery(f"{path.name} cannot be read: {error.strerror}") from error
    pieces = _NAME.split(text)
    found: dict[str, Query] = {}
    for name, body in zip(pieces[1::2], pieces[2::2], strict=True):
        if name in found:
            raise MissingQuery(f"{path.name} has two queries {name!r}")
        found[name] = _parse(path.name, name, body)
    return Queries(path.name, found)


def _parse(file_name: str, name: str, body: str) -> Query:
    header: list[str] = []
    lines = body.strip().splitlines()
    while lines and lines[0].startswith("--"):
        header.append(lines.pop(0).removeprefix("--").strip())
    roles: tuple[str, ...] = ()
    description = []
    for line in header:
        if line.startswith("roles:"):
            roles = tuple(line.removeprefix("roles:").replace(",", " ").split())
        else:
            description.append(line)
    if not description or not roles or not set(roles) <= ROLES or not lines:
        raise MissingQuery(f"{file_name}: {name} needs a description, roles of {ROLES} and SQL")
    sql = "\n".join(lines).strip().removesuffix(";")
    return Query(name, "\n".join(description), roles, sql)
