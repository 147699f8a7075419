"""Named queries: each is in a `.sql` file, which is read once at import.

A block of a file begins with

    -- name: load_members
    -- What it does, in a line or more.
    -- $1 organisation ids, $2 member ids: as pairs
    -- roles: provisioner

and its text goes on to the next `-- name:`. `roles` are the service roles that run it (`ingress`,
`provisioner`, `notifier`, `console`) or `owner` for the operator; a test prepares each query under
each.

What several queries of a file have in common is a block headed `-- piece: shown_members`. It stands
where they say `/* piece: shown_members */`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "sql"
ROLES: Final = frozenset({"ingress", "provisioner", "notifier", "console", "owner"})
_HEAD: Final = re.compile(r"^-- (name|piece): *([a-z][a-z0-9_]*) *$", re.MULTILINE)
_PIECE: Final = re.compile(r"/\* piece: ([a-z][a-z0-9_]*) \*/")


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
    _, *blocks = _HEAD.split(text)
    found: dict[str, Query] = {}
    pieces: dict[str, str] = {}
    for kind, name, body in zip(blocks[::3], blocks[1::3], blocks[2::3], strict=True):
        if name in found or name in pieces:
            raise MissingQuery(f"{path.name} has two blocks {name!r}")
        if kind == "piece":
            pieces[name] = _split(body)[1]
        else:
            found[name] = _parse(path.name, name, body, pieces)
    return Queries(path.name, found)


def _split(body: str) -> tuple[list[str], str]:
    """The comment lines at the head of a block, and the SQL below them."""
    header: list[str] = []
    lines = body.strip().splitlines()
    while lines and lines[0].startswith("--"):
        header.append(lines.pop(0).removeprefix("--").strip())
    return header, "\n".join(lines).strip().removesuffix(";")


def _parse(file_name: str, name: str, body: str, pieces: Mapping[str, str]) -> Query:
    """The query of a block; `pieces` are those that stand above it."""
    header, sql = _split(body)
    roles: tuple[str, ...] = ()
    description = []
    for line in header:
        if line.startswith("roles:"):
            roles = tuple(line.removeprefix("roles:").replace(",", " ").split())
        else:
            description.append(line)
    if not description or not roles or not set(roles) <= ROLES or not sql:
        raise MissingQuery(f"{file_name}: {name} needs a description, roles of {ROLES} and SQL")
    try:
        sql = _PIECE.sub(lambda used: pieces[used[1]], sql)
    except KeyError as error:
        raise MissingQuery(f"{file_name}: {name} uses a piece {error} that is not there") from None
    return Query(name, "\n".join(description), roles, sql)
