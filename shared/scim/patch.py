"""PATCH (RFC 7644 §3.5.2): from a body to canonical operations, and their effect on a resource.

`parse_patch` refuses whatever can be refused without the stored resource, and repairs and
expands the rest, so that what goes into the log is plain: each operation has a path, spelt
canonically, and a canonical value. `apply_patch` is what the decision runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shared.scim import quirks
from shared.scim.errors import (
    InvalidFilter,
    InvalidPath,
    InvalidSyntax,
    InvalidValue,
    Mutability,
    NoTarget,
)
from shared.scim.filter import And, Comparison, Filter
from shared.scim.json_body import Json, fold_names, small_letters
from shared.scim.limits import MAX_OPERATIONS, MAX_STEPS, MAX_WORK
from shared.scim.patch_members import MemberChanges, MemberDelta
from shared.scim.patch_path import PatchPath, Target, read_path
from shared.scim.patch_target import changed_value
from shared.scim.path import AttributePath, is_well_formed
from shared.scim.profile import Profile
from shared.scim.quirks import Repairs
from shared.scim.resource import SizeWatch, check_size, require
from shared.scim.schema import Extension, ResourceSchema
from shared.scim.values import (
    canonical_element,
    canonical_elements,
    canonical_simple,
    canonical_value,
    refuse_unknown,
)
from shared.scim.work import OPERATION, Work, of_path

PATCH_URN = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
_FIELDS = frozenset({"op", "path", "value"})
_OPS = ("add", "remove", "replace")


@dataclass(frozen=True, slots=True)
class Patch:
    """What a PATCH body means.

    `operations` are `{"op", "path", "value"}` without `value` for remove; `members` is their
    effect on a group's members, None for no effect; `repairs` the quirk rules that fired.
    """

    operations: tuple[Json, ...]
    members: MemberDelta | None
    repairs: tuple[str, ...]


def parse_patch(
    body: Json,
    schema: ResourceSchema,
    profile: Profile,
    *,
    max_operations: int = MAX_OPERATIONS,
) -> Patch:
    """The canonical operations of a PatchOp message (RFC 7644 §3.5.2).

    Raises InvalidSyntax (no operations, unknown op), NoTarget (remove without path),
    InvalidPath, InvalidFilter, InvalidValue (more than MAX_STEPS too), Mutability; the first
    failing operation decides.
    """
    reader = _Reader(schema, profile)
    for operation in _operations(body, reader.repairs, max_operations):
        reader.read(operation)
    return Patch(tuple(reader.operations), reader.members.delta(), reader.repairs.fired)


def apply_patch(
    resource: Json,
    operations: Sequence[Json],
    schema: ResourceSchema,
    profile: Profile,
    work: Work | None = None,
) -> Json:
    """The canonical resource after the operations, all or none (RFC 7644 §3.5.2).

    `operations` are those of `parse_patch`. `resource` is not modified; the result equals it
    if nothing changed, and may share values with it. `work` is charged, and by default bounded;
    where it is bounded, so is the size of the resource after each operation.

    Raises NoTarget, InvalidPath, InvalidValue, Mutability: the first failing operation.
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
        _refuse_unwritable(target, operation["op"])
        count = _store(result, target, operation, repairs)
        if size is not None and "value" in operation:
            size.grew(operation, count)
    require(result, schema)
    check_size(result)
    return result


def _store(result: Json, path: PatchPath, operation: Json, repairs: Repairs) -> int:
    """Put the changed value where the attribute lives, without touching what was there.

    Returns how many elements the attribute has then, 1 for a single value.
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


def _refuse_unwritable(path: PatchPath, op: str) -> None:
    if path.is_read_only:
        raise Mutability(
            f"{path.target.path} is set by the server; leave it out of the request.",
            attribute=path.target.path,
        )
    if op == "remove" and path.target.required and path.sub is None and path.filter is None:
        raise Mutability(
            f"{path.target.path} is required and cannot be removed; replace it instead.",
            attribute=path.target.path,
        )


def _operations(body: Json, repairs: Repairs, most: int) -> list[Any]:
    """The list of operations in the message, its frame checked."""
    fields = fold_names(body)
    schemas = fields.get("schemas")
    if not isinstance(schemas, str | None) and not _are_texts(schemas):
        raise InvalidSyntax("schemas must be a list of URNs, as texts.", attribute="schemas")
    if schemas != [PATCH_URN] and not _names_patch(schemas) and not repairs.fire("missing-schemas"):
        raise InvalidSyntax(f'schemas must contain "{PATCH_URN}".', attribute="schemas")
    for name in fields.keys() - {"schemas", "operations"}:
        refuse_unknown(name, repairs)
    operations = fields.get("operations")
    if isinstance(operations, dict) and operations and repairs.fire("object-for-list"):
        operations = [operations]
    if not isinstance(operations, list) or not operations:
        raise InvalidSyntax(
            "A PATCH needs `Operations`, a list of at least one operation.", attribute="Operations"
        )
    if len(operations) > most:
        raise InvalidValue(
            f"The PATCH has more than {most} operations; send them in parts.",
            attribute="Operations",
        )
    return operations


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _names_patch(schemas: Any) -> bool:
    named = schemas if isinstance(schemas, list) else []
    return PATCH_URN.lower() in (small_letters(str(urn)) for urn in named)


class _Reader:
    """Takes operations in order and keeps what they come down to."""

    def __init__(self, schema: ResourceSchema, profile: Profile) -> None:
        self.schema = schema
        self.repairs = Repairs(profile, Work(MAX_WORK))
        self.operations: list[Json] = []
        self.members = MemberChanges()
        self.steps = 0

    def read(self, operation: Any) -> None:
        self.repairs.work.charge(OPERATION)
        if not isinstance(operation, dict):
            raise InvalidSyntax("Each of `Operations` must be an object.", attribute="Operations")
        fields = operation
        if not _FIELDS.issuperset(operation):
            fields = fold_names(operation)
            for name in fields.keys() - _FIELDS:
                refuse_unknown(f"Operations.{name}", self.repairs)
        op = fields.get("op")
        if op not in _OPS:
            op = small_letters(op) if isinstance(op, str) else None
        if op not in _OPS:
            raise InvalidSyntax(
                "Each operation needs `op`: add, remove or replace.", attribute="op"
            )
        if op != fields["op"] and not self.repairs.fire("op-letter-case"):
            raise InvalidSyntax(
                f"The operation's `op` must be written in small letters: {op}.", attribute="op"
            )
        path = fields.get("path")
        if path is not None and not isinstance(path, str):
            raise InvalidPath("`path` must be a text.", attribute="path")
        if op != "remove" and "value" not in fields:
            raise InvalidValue(f"The operation {op} needs a `value`.", attribute="value")
        value = fields.get("value")
        if path is None or not path.strip(" "):
            self._read_path_less(op, value)
        else:
            self._take(op, self._target(path), value)

    def _target(self, path: str) -> Target:
        found = read_path(path, self.schema, self.repairs.profile)
        for name in found.repairs:
            self.repairs.fire(name)
        self.repairs.work.charge(of_path(path, found.steps))
        self._count(found.steps)
        return found.target

    def _count(self, steps: int) -> None:
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise InvalidValue(
                f"The PATCH comes to more than {MAX_STEPS} steps (paths and parts of their "
                "filters); send it in parts.",
                attribute="Operations",
            )

    def _read_path_less(self, op: str, value: Any) -> None:
        if op == "remove":
            raise NoTarget("A remove needs a `path` that names what to remove.", attribute="path")
        if not self.repairs.fire("path-less-patch"):
            raise InvalidSyntax("The operation needs a `path`.", attribute="path")
        value = quirks.repair_object(value, self.repairs)
        if not isinstance(value, dict):
            raise InvalidValue(
                "Without a `path` the value must be an object of attributes.", attribute="value"
            )
        self._take_names(op, "", value)

    def _take_names(self, op: str, prefix: str, value: Json) -> None:
        """An operation on an object of attributes is one on each; `prefix` begins their paths."""
        fold_names(value)
        for name, item in value.items():
            path = f"{prefix}{name}"
            if self.schema.resolve(path) is None:
                if "[" not in name and not is_well_formed(path):
                    refuse_unknown(path, self.repairs)
                    continue
                if "[" in name or "." in name:
                    self.repairs.fire("path-as-name")
            target = self._target(path)
            if (
                isinstance(target, PatchPath)
                and target.is_read_only
                and self.repairs.fire("read-only-dropped")
            ):
                continue
            self._take(op, target, item)

    def _take(self, op: str, target: Target, value: Any) -> None:
        if target is None:
            return
        if isinstance(target, Extension):
            self._take_extension(op, target, value)
        elif target.attribute.name != "schemas" and (
            target.target.name != "$ref" or target.is_read_only
        ):
            _refuse_unwritable(target, op)
            self._refuse_whole_element(target, op)
            if target.attribute.name == "members":
                self.members.take(op, target, value, self.repairs)
            elif op == "remove":
                self._take_remove(target, value)
            else:
                self._take_value(op, target, value)

    def _refuse_whole_element(self, path: PatchPath, op: str) -> None:
        """The interop profile's §6.4.2.2: what is written by a filter is a sub-attribute.

        Removing the elements that a filter selects stays possible, because nothing else in the
        profile removes one: refusing it is what the profile lets a server do, not what it asks.
        """
        if not self.repairs.lenient and op != "remove" and path.filter and path.sub is None:
            raise InvalidPath(
                f"The path must end in a sub-attribute of {path.attribute.path}, after the filter.",
                attribute=path.attribute.path,
            )

    def _take_extension(self, op: str, extension: Extension, value: Any) -> None:
        """An operation on a whole extension is one on each attribute that its value names."""
        if op == "remove" or value is None:
            if op != "add":
                self.operations.append({"op": "remove", "path": extension.urn})
            return
        if not isinstance(value, dict):
            raise InvalidValue(
                f"{extension.urn} must be an object with the extension's attributes.",
                attribute=extension.urn,
            )
        if op == "replace" and not self.repairs.lenient:
            self.operations.append({"op": "remove", "path": extension.urn})
        self._take_names(op, f"{extension.urn}:", value)

    def _take_remove(self, path: PatchPath, value: Any) -> None:
        attribute = path.attribute
        whole = path.filter is None and path.sub is None
        if value is None or not (whole and attribute.multi_valued):
            self.operations.append({"op": "remove", "path": path.text})
            return
        if not self.repairs.fire("remove-by-value"):
            raise InvalidSyntax(
                f"A remove takes no value; select by a filter: `{path.text}[value eq ...]`.",
                attribute=path.text,
            )
        for element in canonical_elements(attribute, value, self.repairs) or []:
            selection = PatchPath(attribute, _same_element(path, element)).text
            try:
                self._target(selection)
            except (InvalidPath, InvalidFilter) as error:
                raise InvalidValue(
                    f"An element of {path.text} to remove is too long; select it by a short "
                    f'filter, such as `{path.text}[type eq "work"]`.',
                    attribute=path.text,
                ) from error
            self.operations.append({"op": "remove", "path": selection})

    def _take_value(self, op: str, path: PatchPath, value: Any) -> None:
        attribute = path.attribute
        if attribute.is_resource_reference and _is_blank(quirks.repair_object(value, self.repairs)):
            op = "replace"  # Entra unassigns a manager by adding an empty text.
        if path.sub is not None:
            canonical = canonical_simple(path.sub, value, self.repairs)
        elif path.filter is not None:
            if isinstance(value, list) and len(value) == 1 and self.repairs.fire("list-of-one"):
                value = value[0]
            if isinstance(value, list) and value:
                raise InvalidValue(
                    f"The path selects elements of {attribute.path} by a filter, so the value must "
                    "be one object; replace the whole list without a filter.",
                    attribute=attribute.path,
                )
            is_blank = value in (None, "", [], {})
            canonical = None if is_blank else canonical_element(attribute, value, self.repairs)
        elif (
            attribute.is_complex
            and not attribute.multi_valued
            and not attribute.is_resource_reference
            and isinstance(value, dict)
        ):
            self._take_complex(op, path, value)
            return
        else:
            canonical = canonical_value(attribute, value, self.repairs)
        self._put(op, path, canonical)

    def _take_complex(self, op: str, path: PatchPath, value: Json) -> None:
        """Sub-attributes that are null or blank are taken away, those not named stay."""
        canonical = canonical_element(path.attribute, value, self.repairs)
        if op == "replace" and not self.repairs.lenient:
            self._put(op, path, canonical)
            return
        if canonical is not None:
            self._put(op, path, canonical)
        for name in value:
            sub = path.attribute.sub(name)
            if sub is not None and sub.name not in (canonical or {}) and not sub.is_read_only:
                self._put("replace", PatchPath(path.attribute, None, sub), None)

    def _put(self, op: str, path: PatchPath, value: Any) -> None:
        """Keep an operation. A value that means unassigned removes, and adds nothing."""
        if value is not None:
            self.operations.append({"op": op, "path": path.text, "value": value})
        elif op == "replace":
            self.operations.append({"op": "remove", "path": path.text})


def _is_blank(value: Any) -> bool:
    """Whether a reference is a blank text, bare, as `value` of an object or of a list of one."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict):
        value = fold_names(value).get("value")
    return isinstance(value, str) and not value.strip()


def _same_element(path: PatchPath, element: Json) -> Filter:
    """The filter that selects the element: by value and type, or by all that it has."""
    names = ("value", "type") if "value" in element else tuple(element)
    terms = tuple(
        Comparison(AttributePath(path.attribute, path.attribute.subs[name]), "eq", element[name])
        for name in names
        if name in element
    )
    return terms[0] if len(terms) == 1 else And(terms)
