"""All limits on requests, in one place.

None of them is a setting (docs/decisions/0019). Some are checked again when a request is decided,
and every replica and every replay must decide alike. With the others a request nearly always fits
into a record of Kafka.
"""

from dataclasses import dataclass
from typing import Final

KIBIBYTE: Final = 1024
MEBIBYTE: Final = 1024 * KIBIBYTE

MAX_BODY_BYTES: Final = 8 * MEBIBYTE
MAX_DEPTH: Final = 32
MAX_CONTAINERS: Final = 150_000
"""Most objects and lists in one body."""
MAX_VALUES: Final = 500_000
"""Most commas in one body."""
MAX_NAMES: Final = 20_000
NAMES_PER_OBJECT: Final = 16
"""Colons allowed per object in one body, in addition to `MAX_NAMES`. An element of a large group
has four names and a URL."""

MAX_TEXT: Final = 4096
MAX_NAME: Final = 1000
MAX_ADDRESS: Final = 320
MAX_TYPE: Final = 100
"""Characters of `emails.type`. With its value it is in an index, whose entries hold 2.7 kB."""
MAX_BINARY: Final = 16 * KIBIBYTE
MAX_ELEMENTS: Final = 100
"""Elements of one attribute, except `members`."""
MAX_RESOURCE_BYTES: Final = 256 * KIBIBYTE
"""Bytes of a canonical resource as JSON, without members: a page of a list has hundreds of them."""

MAX_MEMBERS: Final = 100_000
"""Members named by one request; a group may have more."""
MAX_OPERATIONS: Final = 1000
MAX_STEPS: Final = 5000
"""Paths, and parts of their filters, in all PATCH operations; each part visits each element."""
MAX_WORK: Final = 1_000_000
"""Units of `shared/rollcall/scim/work.py` in one request: about a tenth of a second of CPU."""

MAX_ATTRIBUTE_LIST: Final = 8 * KIBIBYTE
"""Characters of `attributes` and `excludedAttributes`."""
MAX_FILTER_BYTES: Final = 8 * KIBIBYTE
MAX_FILTER_NODES: Final = 200
MAX_FILTER_DEPTH: Final = 32
MAX_PAGE: Final = 1000
DEFAULT_PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class Described:
    """One limit as `docs/reference/limits.md` shows it and tests check it.

    What is over it is refused with `status` and `scim_type`; status 200 means that it is cut down
    instead.
    """

    name: str
    most: int
    unit: str
    status: int
    scim_type: str | None


TABLE: Final = (
    Described("body", MAX_BODY_BYTES, "bytes", 413, None),
    Described("nesting of a body", MAX_DEPTH, "levels", 400, "invalidSyntax"),
    Described("objects and lists in a body", MAX_CONTAINERS, "", 413, None),
    Described("values in a body", MAX_VALUES, "", 413, None),
    Described(f"names in a body, beside {NAMES_PER_OBJECT} an object", MAX_NAMES, "", 413, None),
    Described("text of an attribute", MAX_TEXT, "characters", 400, "invalidValue"),
    Described(
        "`externalId`, `displayName`, `nickName`, `title`, each part of `name`",
        MAX_NAME,
        "characters",
        400,
        "invalidValue",
    ),
    Described(
        "`userName`, the address in `emails`, the id of a member",
        MAX_ADDRESS,
        "characters",
        400,
        "invalidValue",
    ),
    Described("`emails.type`", MAX_TYPE, "characters", 400, "invalidValue"),
    Described("binary value as base64", MAX_BINARY, "characters", 400, "invalidValue"),
    Described("elements of an attribute, `members` apart", MAX_ELEMENTS, "", 400, "invalidValue"),
    Described("resource, `members` apart", MAX_RESOURCE_BYTES, "bytes", 400, "invalidValue"),
    Described("members named by one request", MAX_MEMBERS, "", 400, "invalidValue"),
    Described("operations of a PATCH", MAX_OPERATIONS, "", 400, "invalidValue"),
    Described("steps of a PATCH", MAX_STEPS, "paths and parts of filters", 400, "invalidValue"),
    Described("work of a POST, PUT or PATCH", MAX_WORK, "units", 400, "invalidValue"),
    Described("path of a PATCH operation", MAX_FILTER_BYTES, "characters", 400, "invalidPath"),
    Described("list of attributes", MAX_ATTRIBUTE_LIST, "characters", 400, "invalidValue"),
    Described("filter", MAX_FILTER_BYTES, "bytes", 400, "invalidFilter"),
    Described(
        "parts of a filter", MAX_FILTER_NODES, "conditions and connections", 400, "invalidFilter"
    ),
    Described("nesting of a filter", MAX_FILTER_DEPTH, "levels", 400, "invalidFilter"),
    Described("page of a list", MAX_PAGE, "resources", 200, None),
)
