"""PATCH (RFC 7644 §3.5.2): from a body to canonical operations, and their effect on a resource.

`parse_patch` refuses what can be refused without the stored resource, and repairs and expands the
rest. So the operations in the log are simple: each has a path in canonical spelling and a canonical
value. `apply_patch` is called by the decision.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from rollcall.scim.body.json_body import Json, fold_names, small_letters
from rollcall.scim.errors import InvalidPath, InvalidSyntax, InvalidValue
from rollcall.scim.limits import MAX_OPERATIONS, MAX_WORK
from rollcall.scim.patch.members import MemberDelta
from rollcall.scim.patch.path import PatchPath, read_path, refuse_filter_on_one, refuse_unwritable
from rollcall.scim.patch.reader import PatchReader
from rollcall.scim.patch.target import changed_value
from rollcall.scim.profile import Profile
from rollcall.scim.quirks import Repairs
from rollcall.scim.resource import SizeWatch, check_size, require
from rollcall.scim.schema import Attribute, Extension, ResourceSchema
from rollcall.scim.values import refuse_unknown
from rollcall.scim.work import OPERATION, Work, of_path

PATCH_URN: Final = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
_OLD_PATCH = re.compile(
    r"urn:(?:ietf:params:)?scim:(?:api:)?(?:messages|schemas:core):2\.0:patch(?:op)?", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Patch:
    """A PATCH body in canonical form.

    `operations` are `{"op", "path", "value"}`, without `value` for a remove. `members` is their
    effect on a group's members, None for no effect. `repairs` are the names of the quirk rules that
    fired, `ignored` the names that are in no schema.
    """

    operations: tuple[Json, ...]
    members: MemberDelta | None
    repairs: tuple[str, ...]
    ignored: tuple[str, ...] = ()


def parse_patch(body: Json, schema: ResourceSchema, profile: Profile) -> Patch:
    """The canonical operations of a PatchOp message (RFC 7644 §3.5.2).

    Raises InvalidSyntax (no operations, unknown op), NoTarget (a remove without path), InvalidPath
    (also if nothing in it is known), InvalidFilter, InvalidValue (also for more than MAX_STEPS) or
    Mutability, for the first failing operation.
    """
    reader = PatchReader(schema, profile)
    for operation in _operations(body, schema, reader.repairs):
        reader.read(operation)
    reader.finish()
    repairs = reader.repairs
    return Patch(tuple(reader.operations), reader.members.delta(), repairs.fired, repairs.ignored)


def apply_patch(
    resource: Json,
    operations: Sequence[Json],
    schema: ResourceSchema,
    profile: Profile,
    work: Work | None = None,
    *,
    filter_on_one: bool = True,
) -> Json:
    """The canonical resource after the operations, all or none (RFC 7644 §3.5.2).

    `operations` are those of `parse_patch`. `resource` is not modified; the result equals it if
    nothing changed, and may share values with it. The cost is charged to `work`, which is bounded
    by default; if it is bounded, so is the size of the resource after each operation.
    `filter_on_one`: the rules of the request allow a filter on a single complex value.

    Raises NoTarget, InvalidPath, InvalidValue or Mutability, for the first failing operation.
    """
    work = Work(MAX_WORK) if work is None else work
    repairs = Repairs(profile, work)
    result = dict(resource)
    size = SizeWatch(result, work) if work.is_bounded else None
    for operation in operations:
        read = read_path(operation["path"], schema, profile)
        work.charge(OPERATION + of_path(operation["path"], read.steps))
        target = read.target
        if target is None:
            raise InvalidPath("The path of a PATCH operation names no attribute.")
        if isinstance(target, Extension):
            result.pop(target.urn, None)
            continue
        if not filter_on_one:
            refuse_filter_on_one(target)
        refuse_unwritable(target, operation["op"])
        count = _store(result, target, operation, repairs)
        if size is not None and "value" in operation:
            size.grew(operation, count)
    require(result, schema)
    check_size(result)
    return result


def _store(result: Json, path: PatchPath, operation: Json, repairs: Repairs) -> int:
    """Store the changed value where the attribute belongs, without modifying the old value.

    Returns the number of elements that the attribute has then, 1 for a single value.
    """
    attribute = path.attribute
    container = result if attribute.urn is None else dict(result.get(attribute.urn, {}))
    value = changed_value(container.get(attribute.name), operation, path, repairs)
    if value is None:
        container.pop(attribute.name, None)
    else:
        container[attribute.name] = value
    if attribute.urn is not None:
        if container:
            result[attribute.urn] = container
        else:
            result.pop(attribute.urn, None)
    return len(value) if isinstance(value, list) else 1


def _operations(body: Json, schema: ResourceSchema, repairs: Repairs) -> list[Any]:
    """The list of operations in the message. Raises InvalidSyntax, InvalidValue (too many)."""
    fields = fold_names(body)
    _check_schemas(fields.get("schemas"), repairs)
    for name in fields.keys() - {"schemas", "operations"}:
        _refuse_beside(name, schema)
        refuse_unknown(name, repairs)
    operations = fields.get("operations")
    if isinstance(operations, dict) and operations and repairs.fire("object-for-list"):
        operations = [operations]
    if not isinstance(operations, list) or not operations:
        raise InvalidSyntax(
            "A PATCH needs `Operations`, a list of at least one operation.", attribute="Operations"
        )
    if len(operations) > MAX_OPERATIONS:
        raise InvalidValue(
            f"The PATCH has more than {MAX_OPERATIONS} operations; send them in parts.",
            attribute="Operations",
        )
    return operations


def _check_schemas(value: Any, repairs: Repairs) -> None:
    """Raise InvalidSyntax unless `schemas` names a PATCH only (RFC 7644 §3.5.2) or is absent."""
    if value == [PATCH_URN]:
        return
    if value is None or value == []:
        if repairs.fire("missing-schemas"):
            return
    elif (
        isinstance(value, str) and _is_patch(value, repairs) and repairs.fire("object-for-list")
    ) or (
        isinstance(value, list)
        and all(isinstance(urn, str) and _is_patch(urn, repairs) for urn in value)
    ):
        return
    raise InvalidSyntax(
        f'schemas of a PATCH must be a list with "{PATCH_URN}" and nothing else.',
        attribute="schemas",
    )


def _is_patch(urn: str, repairs: Repairs) -> bool:
    if small_letters(urn) == PATCH_URN.lower():
        return True
    return _OLD_PATCH.fullmatch(urn) is not None and repairs.fire("old-urn")


def _refuse_beside(name: str, schema: ResourceSchema) -> None:
    """Refuse an attribute beside the operations, as in SCIM 1's PATCH: it would be skipped."""
    found = schema.resolve(name)
    if isinstance(found, Attribute) and not found.is_read_only and found.name != "externalId":
        raise InvalidSyntax(
            f"{found.path} stands beside `Operations`; name it in an operation.",
            attribute=found.path,
        )
