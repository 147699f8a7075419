"""Lists while the directory is behind: which look-up a filter means, and a page of what it found.

A filter that asks for one `id`, `userName`, `externalId` or `displayName`, alone or beside other
conditions, is a look-up by that key; the whole filter is then asked of what was found. Pure.
"""

from collections.abc import Sequence
from typing import Final, cast

import orjson

from rollcall.events.request import Endpoint
from rollcall.postgres.directory_search import Resource
from rollcall.runtime.errors import Unavailable
from rollcall.runtime.ids import parse_id
from rollcall.scim.body.json_body import Json
from rollcall.scim.errors import InvalidValue
from rollcall.scim.filter import And, Comparison, Filter, Not, Or, Present, ValuePath, size
from rollcall.scim.match import compile_filter, folding
from rollcall.scim.page import Page
from rollcall.scim.sort import Sort, in_order
from rollcall.scim.work import MAX_WORK, Work, of_fold
from rollcall.tail.lookup import KEYED, Attribute
from rollcall_ingress.aside import enough_of
from rollcall_ingress.read import show
from rollcall_ingress.read.show import View, stored_times

Key = tuple[Attribute, str]
TOO_MUCH: Final = "the directory (it is behind, and the filter looks at too much until it is not)"
RETRY_AFTER_S: Final = 5.0
RELATED: Final = frozenset({"groups", "members"})


def key_of(node: Filter | None, endpoint: Endpoint) -> Key | None:
    """What the filter can be looked up by, normalised as it is kept; None for nothing."""
    if isinstance(node, And):
        keys = (key_of(term, endpoint) for term in node.terms)
        return next((key for key in keys if key is not None), None)
    if not isinstance(node, Comparison) or node.op != "eq" or not isinstance(node.value, str):
        return None
    name = cast(Attribute, node.path.text)
    if (endpoint, name) not in KEYED or not node.value:
        return None
    if name == "id":
        return (name, node.value) if parse_id(node.value) == node.value else None
    return name, folding(node.path.target)(node.value)


def names_related(node: Filter | None) -> bool:
    """Whether the filter asks for a User's groups or a Group's members."""
    match node:
        case None:
            return False
        case Comparison(path) | Present(path) | ValuePath(path):
            return path.attribute.name in RELATED
        case And(terms) | Or(terms):
            return any(map(names_related, terms))
        case Not(term):
            return names_related(term)


def page_of(
    found: Sequence[Resource],
    condition: Filter | None,
    sort: Sort | None,
    page: Page,
    base_url: str,
) -> tuple[int, list[Resource]]:
    """How many of the resources meet the filter, and one page of them; in order of their ids.

    Raises Unavailable where that is more than MAX_WORK: Postgres will say it, once it is not behind
    any more. Sooner, a list without what is pending would be untrue, and a shorter one too.
    """
    try:
        return _page_of(found, condition, sort, page, base_url)
    except InvalidValue as error:
        raise Unavailable(TOO_MUCH, RETRY_AFTER_S) from error


def most_work_of(found: Sequence[Resource], condition: Filter | None, sort: Sort | None) -> int:
    """The units of `page_of`, for `aside`: its texts are folded, and each part looks at them."""
    looks = 1 + size(condition) + (sort is not None)
    return enough_of(
        show.MEMBERSHIP * len(each.related) + of_fold(len(orjson.dumps(each.row.resource))) * looks
        for each in found
    )


def _page_of(
    found: Sequence[Resource],
    condition: Filter | None,
    sort: Sort | None,
    page: Page,
    base_url: str,
) -> tuple[int, list[Resource]]:
    work = Work(MAX_WORK)
    by_id = {each.row.id: each for each in found}
    documents = [_document(each, View(base_url)) for each in found]
    if condition is not None:
        is_match = compile_filter(condition, work)
        documents = [document for document in documents if is_match(document)]
    if sort is None:
        documents.sort(key=lambda document: document["id"])
    else:
        documents = in_order(documents, sort, work)
    chosen = documents[page.offset : page.offset + page.count]
    return len(documents), [by_id[document["id"]] for document in chosen]


def _document(found: Resource, view: View) -> Json:
    row = found.row
    return show.whole(found.schema, row.id, stored_times(row), row.resource, view, found.related)
