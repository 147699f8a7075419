"""A filter, and a sort, says the same in SQL as in Python, on the same data."""

import asyncio
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from rollcall.postgres import directory_search
from rollcall.postgres.attribute_sql import ResourceType
from rollcall.postgres.directory_search import Search
from rollcall.postgres.filter_sql import ANYTHING, compile_filter, compile_sort
from rollcall.scim import match
from rollcall.scim.filter import parse_filter
from rollcall.scim.path import AttributePath, resolve_path
from rollcall.scim.profile import Profile
from rollcall.scim.schema import GROUP, USER, ResourceSchema
from rollcall.scim.sort import Sort, in_order
from tests.integration.postgres.directories import BASE, Directory, FilterWriter, directories, paths
from tests.support.builders import ORGANISATION, Json
from tests.support.databases import Connection, TestDatabase


class Page:
    """All of it."""

    start_index = 1
    count = 1000


class Session:
    """One connection, in a loop of its own: hypothesis calls a plain function many times."""

    def __init__(self, database: TestDatabase) -> None:
        self.runner = asyncio.Runner()
        self.opened = database.connect("owner")
        self.connection: Connection = self.runner.run(self._open())

    async def _open(self) -> Connection:
        return await self.opened.__aenter__()

    async def _close(self) -> None:
        await self.opened.__aexit__(None, None, None)

    def close(self) -> None:
        self.runner.run(self._close())
        self.runner.close()

    def ask(
        self, directory: Directory, searches: list[tuple[ResourceSchema, Search]]
    ) -> list[list[str]]:
        """The ids that each search finds in the directory, which is gone afterwards."""
        return self.runner.run(self._ask(directory, searches))

    async def _ask(
        self, directory: Directory, searches: list[tuple[ResourceSchema, Search]]
    ) -> list[list[str]]:
        transaction = self.connection.transaction()
        await transaction.start()
        try:
            await directory.write(self.connection)
            return [await self._search(schema, search) for schema, search in searches]
        finally:
            await transaction.rollback()

    async def _search(self, schema: ResourceSchema, search: Search) -> list[str]:
        total, found = await directory_search.search(
            self.connection, schema.endpoint, ORGANISATION, search, Page()
        )
        ids = [each.row.id for each in found]
        assert total == len(ids)
        return ids


@pytest.fixture(scope="module")
def session(module_database: TestDatabase) -> Iterator[Session]:
    opened = Session(module_database)
    yield opened
    opened.close()


def known_texts(shown: list[Json]) -> list[str]:
    """Texts of the representations, whole and in part, for filters that match something."""
    found: set[str] = set()

    def visit(value: object) -> None:
        if isinstance(value, dict):
            for item in value.values():
                visit(item)
        elif isinstance(value, list):
            for item in value:
                visit(item)
        elif isinstance(value, str) and value:
            found.update((value, value[:3], value[-2:], value.upper(), value.swapcase()))

    visit(shown)
    return sorted(found) or ["x"]


quick = settings(
    max_examples=40,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # a smaller example takes minutes to find
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TYPES: list[tuple[ResourceSchema, ResourceType]] = [(USER, "User"), (GROUP, "Group")]
seeds = st.integers(0, 2**32)


@pytest.mark.parametrize(("schema", "resource_type"), TYPES, ids=["User", "Group"])
@quick
@given(directory=directories(), seed=seeds)
def test_a_filter_finds_the_same_in_sql_as_in_python(
    session: Session,
    schema: ResourceSchema,
    resource_type: ResourceType,
    directory: Directory,
    seed: int,
) -> None:
    shown = directory.shown(schema)
    writer = FilterWriter(Random(seed), schema, known_texts(list(shown.values())))
    texts = [writer.write() for _ in range(25)]
    parsed = [parse_filter(text, schema, Profile.INTEROP) for text in texts]

    found = session.ask(
        directory,
        [(schema, Search(compile_filter(node, resource_type), base_url=BASE)) for node in parsed],
    )

    for text, node, ids in zip(texts, parsed, found, strict=True):
        matches = match.compile_filter(node)
        assert ids == sorted(key for key, item in shown.items() if matches(item)), text


@pytest.mark.parametrize(("schema", "resource_type"), TYPES, ids=["User", "Group"])
@quick
@given(directory=directories(), seed=seeds)
def test_a_sort_orders_the_same_in_sql_as_in_python(
    session: Session,
    schema: ResourceSchema,
    resource_type: ResourceType,
    directory: Directory,
    seed: int,
) -> None:
    """Of all, and of those that a filter finds."""
    shown = directory.shown(schema)
    chance = Random(seed)
    sorts = []
    for attribute in chance.sample(paths(schema, also_complex=False), 12):
        path = resolve_path(attribute.path, schema)
        assert isinstance(path, AttributePath)
        sorts.append(Sort(path, chance.random() < 0.5))
    some = compile_filter(parse_filter("id pr", schema, Profile.INTEROP), resource_type)

    found = session.ask(
        directory,
        [
            (schema, Search(condition, compile_sort(sort, resource_type)))
            for condition in (ANYTHING, some)
            for sort in sorts
        ],
    )

    for sort, ids in zip([*sorts, *sorts], found, strict=True):
        assert ids == [item["id"] for item in in_order(shown.values(), sort)], sort


async def test_letter_case_is_that_of_python_for_every_character(
    module_database: TestDatabase,
) -> None:
    """Alone among ASCII and together with others."""
    codes = [code for code in range(1, 0x11_0000) if not 0xD800 <= code <= 0xDFFF]
    texts = [
        *("".join(map(chr, codes[at : at + 64])) + "Az" for at in range(0, len(codes), 64)),
        *map(chr, codes[:0x3000]),
    ]

    async with module_database.connect("ingress") as connection:
        rows = await connection.fetch(
            "SELECT given, directory.fold(given) AS folded FROM unnest($1::text[]) AS given", texts
        )

    assert len(rows) == len(texts)
    assert [row["given"] for row in rows if row["folded"] != row["given"].casefold()] == []
