"""Every named query fits the migrated schema, its service's rights, and the tenant rule."""

import re
from pathlib import Path

import asyncpg
import pytest

from rollcall.postgres import queries
from rollcall.postgres.pool import Service
from rollcall.postgres.queries import MissingQuery, Query
from tests.support.databases import TestDatabase

MODULES = sorted(path.stem for path in queries.FOLDER.glob("*.sql"))
QUERIES = [(module, query) for module in MODULES for query in queries.load(module).all()]
DIRECTORY_ROWS = re.compile(r'directory\.(member|"group"|group_member)\b')


def _name(value: object) -> str:
    return value.name if isinstance(value, Query) else str(value)


async def test_every_query_can_be_prepared_by_those_who_run_it(
    module_database: TestDatabase,
) -> None:
    """PREPARE checks the tables and columns, EXPLAIN the rights as well."""
    failures = []
    services: tuple[Service, ...] = ("ingress", "provisioner", "notifier", "owner")
    for service in services:
        async with module_database.connect(service) as connection:
            for module, query in QUERIES:
                if service not in query.roles:
                    continue
                try:
                    prepared = await connection.prepare(query.sql)
                    arguments = ", ".join(["NULL"] * len(prepared.get_parameters()))
                    await connection.execute(f"PREPARE checked AS {query.sql}")
                    call = f"({arguments})" if arguments else ""
                    await connection.execute(f"EXPLAIN EXECUTE checked{call}")
                    await connection.execute("DEALLOCATE checked")
                except asyncpg.PostgresError as error:
                    failures.append(f"{module}.{query.name} as {service}: {error}")

    assert failures == []


@pytest.mark.parametrize(("module", "query"), QUERIES, ids=_name)
async def test_a_query_describes_every_parameter(module: str, query: Query) -> None:
    used = set(re.findall(r"\$\d+", query.sql))
    described = set(re.findall(r"\$\d+", query.description))

    assert used == described


@pytest.mark.parametrize(("module", "query"), QUERIES, ids=_name)
def test_a_query_over_directory_rows_takes_the_organisation_first(
    module: str, query: Query
) -> None:
    """`$1` is the organisation, or an array of organisations that is joined."""
    if not DIRECTORY_ROWS.search(query.sql):
        return
    is_array = re.search(r"\$1::uuid\[\]|string_to_array\(\$1, ','\)::uuid\[\]", query.sql)
    joined = re.search(
        r"USING \(organisation_id|\.organisation_id = \w+\.organisation_id"
        r"|ON CONFLICT \(organisation_id",
        query.sql,
    )

    assert re.search(r"\$1 organisations?\b", query.description)
    if is_array:
        assert joined is not None
    else:
        uses = len(DIRECTORY_ROWS.findall(query.sql))
        assert len(re.findall(r"organisation_id = \$1\b", query.sql)) >= uses


@pytest.mark.parametrize(("module", "query"), QUERIES, ids=_name)
def test_a_query_names_its_columns(module: str, query: Query) -> None:
    """`SELECT *` stands only before `unnest` of typed arrays, as the source of an INSERT."""
    stars = re.findall(r"SELECT \*\s+FROM (\w+)", query.sql)

    assert set(stars) <= {"unnest"}


@pytest.mark.parametrize(("module", "query"), QUERIES, ids=_name)
def test_no_query_is_left_unused(module: str, query: Query) -> None:
    [path] = Path(queries.__file__).parent.rglob(f"{module}.py")
    source = path.read_text(encoding="utf-8")

    assert f'_SQL["{query.name}"]' in source


def test_a_missing_query_fails_when_it_is_named() -> None:
    with pytest.raises(MissingQuery, match=r"progress\.sql has no query 'nothing'"):
        queries.load("progress")["nothing"]


def test_a_missing_file_fails_when_it_is_loaded() -> None:
    with pytest.raises(MissingQuery, match=r"nothing\.sql cannot be read"):
        queries.load("nothing")


def test_a_missing_piece_fails_when_the_file_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "-- name: some\n-- What it does.\n-- roles: owner\nSELECT 1 FROM /* piece: gone */"
    (tmp_path / "some.sql").write_text(text)
    monkeypatch.setattr(queries, "FOLDER", tmp_path)

    with pytest.raises(MissingQuery, match=r"some\.sql: some uses a piece 'gone'"):
        queries.load("some")


async def test_directory_keys_start_with_the_organisation(module_database: TestDatabase) -> None:
    async with module_database.connect("owner") as connection:
        rows = await connection.fetch(
            """
            SELECT constraint_name, attribute.attname AS first_column
            FROM (SELECT conname AS constraint_name, conrelid, conkey[1] AS first
                  FROM pg_constraint
                  WHERE contype IN ('p', 'u') AND conrelid = ANY ($1::text[]::regclass[])) AS keys
            JOIN pg_attribute AS attribute
              ON attribute.attrelid = conrelid AND attribute.attnum = first
            """,
            ["directory.member", 'directory."group"', "directory.group_member"],
        )

    assert len(rows) == 5  # external ids are not unique (docs/decisions/0047)
    assert {row["first_column"] for row in rows} == {"organisation_id"}


LEFT_BEHIND = re.compile(
    r"pg_(try_)?advisory_lock\b|\bLISTEN\b|\bset_config\b|\bDECLARE\b|\bTEMP(ORARY)?\b|\bPREPARE\b"
    r"|(\A|;|\bBEGIN|\bTHEN|\bELSE)\s*SET\s+(?!LOCAL\b|CONSTRAINTS\b)",
    re.IGNORECASE,
)
"""What a session would keep beyond its transaction."""


@pytest.mark.parametrize(("module", "query"), QUERIES, ids=_name)
def test_a_service_leaves_nothing_behind_in_its_session(module: str, query: Query) -> None:
    """So a connection needs no reset when it is given back (docs/decisions/0061)."""
    if set(query.roles) != {"owner"}:
        assert LEFT_BEHIND.search(query.sql) is None


async def test_a_function_that_a_service_calls_leaves_nothing_behind(
    module_database: TestDatabase,
) -> None:
    async with module_database.connect() as owner:
        bodies = await owner.fetch(
            "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'rollcall'::regnamespace"
        )

    assert {row["proname"] for row in bodies} >= {"begin_batch", "write_batch"}
    assert [
        row["proname"]
        for row in bodies
        # A block's variables are declared too.
        if LEFT_BEHIND.search(row["prosrc"].replace("DECLARE\n", ""))
    ] == []


async def test_a_function_runs_for_its_service_alone_and_with_the_rights_of_that(
    module_database: TestDatabase,
) -> None:
    async with module_database.connect() as owner:
        rows = await owner.fetch(
            "SELECT proname, prosecdef, ARRAY(SELECT grantee::regrole::text "
            "FROM aclexplode(proacl) WHERE grantee <> proowner) AS roles "
            "FROM pg_proc WHERE pronamespace = 'rollcall'::regnamespace"
        )

    assert rows
    for row in rows:
        assert not row["prosecdef"], row["proname"]
        assert row["roles"] in (["rollcall_provisioner"], ["rollcall_notifier"]), row
