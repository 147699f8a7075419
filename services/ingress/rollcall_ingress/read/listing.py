"""What a list asks for: from the query of a GET, or a SearchRequest (RFC 7644 §3.4.2, §3.4.3)."""

from dataclasses import dataclass
from typing import Any, Final

from rollcall.observability.logging import get_logger
from rollcall.observability.metrics import INGRESS_REPAIRS
from rollcall.postgres.directory_search import Search
from rollcall.postgres.filter_sql import ANYTHING, compile_filter, compile_sort
from rollcall.scim.body.json_body import fold_names, parse_object, small_letters
from rollcall.scim.errors import InvalidFilter, InvalidSyntax, InvalidValue
from rollcall.scim.filter import Filter, read_filter
from rollcall.scim.limits import DEFAULT_PAGE, MAX_FILTER_BYTES, MAX_PAGE
from rollcall.scim.page import Page, parse_page
from rollcall.scim.profile import Profile
from rollcall.scim.quirks import Repairs, repair_number
from rollcall.scim.schema import ResourceSchema
from rollcall.scim.sort import Sort, parse_sort
from rollcall.scim.values import refuse_unknown
from rollcall_ingress.door.query import KNOWN, Query, check_characters

SEARCH_REQUEST_URN: Final = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
_LISTS: Final = frozenset({"attributes", "excludedAttributes"})
_NUMBERS: Final = frozenset({"startIndex", "count"})
_BY_NAME: Final = {name.lower(): name for name in KNOWN}

log = get_logger()


@dataclass(frozen=True, slots=True)
class Listing:
    """Which resources, in which order, and which page of them."""

    search: Search
    page: Page
    filter: Filter | None = None
    sort: Sort | None = None


def read_listing(query: Query, schema: ResourceSchema, profile: Profile, base_url: str) -> Listing:
    """The list that the parameters ask for. Repairs are counted.

    Raises InvalidFilter, and InvalidValue for `sortBy`, `sortOrder`, `startIndex` and `count`.
    """
    page = parse_page(
        query.get("startIndex"),
        query.get("count"),
        default=DEFAULT_PAGE,
        maximum=MAX_PAGE,
    )
    repairs = Repairs(profile)
    sort = parse_sort(query.get("sortBy"), query.get("sortOrder"), schema, repairs)
    order = compile_sort(sort, schema.name)
    fired = repairs.fired
    condition, meant, text = ANYTHING, None, query.get("filter", "")
    if text.strip():
        read = read_filter(text, schema, profile)
        meant = read.filter
        condition = compile_filter(meant, schema.name)
        fired = (*read.repairs, *fired)
    count_repairs(fired)
    return Listing(Search(condition, order, base_url), page, meant, sort)


def read_search_request(raw: bytes, profile: Profile) -> Query:
    """The parameters in the body of a POST to `/.search`, as a query would have them.

    Names count in any letter case. Raises InvalidSyntax for a body that is no SearchRequest,
    InvalidValue for a value of another kind, and what `parse_query` raises for its characters.
    """
    body = parse_object(raw)
    repairs = Repairs(profile)
    found: dict[str, str] = {}
    schemas: Any = None
    fold_names(body)
    for name, value in body.items():
        known = _BY_NAME.get(small_letters(name))
        if small_letters(name) == "schemas":
            schemas = value
        elif known is None:
            refuse_unknown(name, repairs)
        elif value is not None:
            text = _as_text(known, value, repairs)
            _check_length(text, known)
            found[known] = check_characters(text, known)
    _check_schemas(schemas, repairs)
    count_repairs(repairs.fired)
    return found


def count_repairs(rules: tuple[str, ...]) -> None:
    """Count the repairs that a read needed, as those of writes are."""
    if rules:
        for rule in rules:
            INGRESS_REPAIRS.labels(rule).inc()
        log.debug("request.repaired", rules=rules)


def _as_text(name: str, value: Any, repairs: Repairs) -> str:
    if name in _NUMBERS:
        value = repair_number(value, repairs)
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidValue(f"{name} must be a whole number.", attribute=name)
        return str(value)
    if name in _LISTS and isinstance(value, list) and all(type(item) is str for item in value):
        return ",".join(value)
    if not isinstance(value, str):
        wanted = "a list of attribute names" if name in _LISTS else "a text in quotation marks"
        raise InvalidValue(f"{name} must be {wanted}.", attribute=name)
    return value


def _check_length(text: str, name: str) -> None:
    """No parameter may be longer; what is shorter and still too long is refused where it is read.

    So nothing looks through a text of eight million characters.
    """
    if len(text) > MAX_FILTER_BYTES:
        kind = InvalidFilter if name == "filter" else InvalidValue
        raise kind(
            f"{name} is longer than {MAX_FILTER_BYTES} characters; shorten it.", attribute=name
        )


def _check_schemas(value: Any, repairs: Repairs) -> None:
    if isinstance(value, str) and repairs.fire("object-for-list"):
        value = [value]
    if value is None or value == []:
        is_right = repairs.fire("missing-schemas")
    else:
        is_right = (
            isinstance(value, list)
            and all(isinstance(urn, str) for urn in value)
            and SEARCH_REQUEST_URN.lower() in {small_letters(urn) for urn in value}
        )
    if not is_right:
        raise InvalidSyntax(
            f'schemas of a search must be a list with "{SEARCH_REQUEST_URN}".', attribute="schemas"
        )
