"""The catalogue: class of attack → its entries, in the order in which they are played."""

from collections.abc import Mapping
from typing import Final

from tests.hostile.catalogue import (
    assignment,
    authentication,
    filters,
    groups,
    headers,
    json_bodies,
    mail,
    paging,
    patches,
    paths,
    queries,
    types,
    unicode,
)
from tests.hostile.entry import Entry

CATALOGUE: Final[Mapping[str, tuple[Entry, ...]]] = {
    "json": json_bodies.ENTRIES,
    "types": types.ENTRIES,
    "patches": patches.ENTRIES,
    "filter": filters.ENTRIES,
    "query": queries.ENTRIES,
    "path": paths.ENTRIES,
    "authentication": authentication.ENTRIES,
    "assignment": assignment.ENTRIES,
    "unicode": unicode.ENTRIES,
    "mail": mail.ENTRIES,
    "groups": groups.ENTRIES,
    "headers": headers.ENTRIES,
    "paging": paging.ENTRIES,
}
