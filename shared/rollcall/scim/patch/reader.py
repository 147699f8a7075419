"""Read the operations of a PATCH as sent, and make them canonical (RFC 7644 §3.5.2.1 to 3.5.2.3).

All repairs are made here, so that the log holds canonical operations only. An operation that is not
understood is refused and not skipped, because its answer would say that it was done. Only unknown
names are skipped, if known ones are beside them.
"""

from typing import Any

from rollcall.scim import quirks
from rollcall.scim.blank import is_blank
from rollcall.scim.body.json_body import Json, fold_names, small_letters
from rollcall.scim.errors import (
    InvalidFilter,
    InvalidPath,
    InvalidSyntax,
    InvalidValue,
    Mutability,
    NoTarget,
)
from rollcall.scim.filter import And, Comparison, Filter
from rollcall.scim.limits import MAX_STEPS, MAX_WORK
from rollcall.scim.patch.members import MemberChanges
from rollcall.scim.patch.path import PatchPath, ReadPath, Target, read_path, refuse_unwritable
from rollcall.scim.path import AttributePath, is_well_formed
from rollcall.scim.profile import Profile
from rollcall.scim.quirks import Repairs
from rollcall.scim.schema import Attribute, Extension, ResourceSchema
from rollcall.scim.values import (
    canonical_element,
    canonical_object,
    canonical_simple,
    canonical_value,
    elements_to_remove,
    refuse_nothing_read,
    refuse_unknown,
    refuse_unread,
    shown_name,
)
from rollcall.scim.work import OPERATION, Work, of_path

_FIELDS = frozenset({"op", "path", "value"})
_OPS = ("add", "remove", "replace")
_NAMES_SHOWN = 5


class PatchReader:
    """Reads operations in order and collects the canonical ones."""

    def __init__(self, schema: ResourceSchema, profile: Profile) -> None:
        self.schema = schema
        self.repairs = Repairs(profile, Work(MAX_WORK))
        self.operations: list[Json] = []
        self.members = MemberChanges()
        self.steps = 0
        self._knows_something = False
        self._references: list[tuple[PatchPath, str]] = []

    def read(self, operation: Any) -> None:
        """Read one operation. Raises the ScimErrors of `parse_patch`."""
        self.repairs.work.charge(OPERATION)
        if not isinstance(operation, dict):
            raise InvalidSyntax("Each of `Operations` must be an object.", attribute="Operations")
        fields = operation
        is_pure = _FIELDS.issuperset(operation)
        if not is_pure:
            fields = fold_names(operation)
            unknown = fields.keys() - _FIELDS
            is_pure = all(is_blank(fields[name]) for name in unknown)
            for name in unknown:
                refuse_unknown(f"Operations.{name}", self.repairs)
        op = self._op(fields.get("op"))
        path = fields.get("path")
        if path is not None and not isinstance(path, str):
            raise InvalidPath("`path` must be a text.", attribute="path")
        if op != "remove" and "value" not in fields:
            raise InvalidValue(f"The operation {op} needs a `value`.", attribute="value")
        value = fields.get("value")
        if path is None or not path.strip(" "):
            self._read_path_less(op, value)
        elif self._is_whole_resource(path.strip(" ")):
            self._read_whole(op, value)
        else:
            found = self._found(path)
            if op == "remove" and value is None:
                self._refuse_vague(found, is_pure=is_pure)
            self._take(op, found.target, value)

    def finish(self) -> None:
        """End the reading. Raises InvalidPath if no operation named anything known."""
        for path, meant in self._references:
            prefix = path.attribute.path
            if not any(each["path"].startswith(prefix) for each in self.operations):
                value = PatchPath(path.attribute, path.filter, path.attribute.subs["value"])
                self.operations.append({"op": "replace", "path": value.text, "value": meant})
        if not self._knows_something:
            names = ", ".join(map(shown_name, self.repairs.ignored[:_NAMES_SHOWN]))
            raise InvalidPath(
                "No operation of the PATCH names anything that is known here"
                + (f"; unknown are: {names}." if names else "."),
                attribute=shown_name(next(iter(self.repairs.ignored), "path")),
            )

    def _op(self, given: Any) -> str:
        if given in _OPS:
            return str(given)
        op = small_letters(given) if isinstance(given, str) else None
        if op not in _OPS:
            raise InvalidSyntax(
                "Each operation needs `op`: add, remove or replace.", attribute="op"
            )
        if not self.repairs.fire("op-letter-case"):
            raise InvalidSyntax(
                f"The operation's `op` must be written in small letters: {op}.", attribute="op"
            )
        return op

    def _found(self, path: str) -> ReadPath:
        found = read_path(path, self.schema, self.repairs.profile)
        for rule in found.repairs:
            self.repairs.fire(rule)
        for name in found.ignored:
            self.repairs.ignore(name)
        if "password-dropped" in found.repairs:
            self._knows_something = True
        self.repairs.work.charge(of_path(path, found.steps))
        self.steps += found.steps
        if self.steps > MAX_STEPS:
            raise InvalidValue(
                f"The PATCH comes to more than {MAX_STEPS} steps (paths and parts of their "
                "filters); send it in parts.",
                attribute="Operations",
            )
        return found

    def _refuse_vague(self, found: ReadPath, *, is_pure: bool) -> None:
        """Refuse a remove of a whole attribute by a near name or beside unknown fields.

        `{"op": "remove", "path": "members", "values": [...]}` names some members, not all of them.
        """
        target = found.target
        if not isinstance(target, PatchPath) or not target.attribute.multi_valued:
            return
        if target.filter is None and target.sub is None:
            if not is_pure:
                raise InvalidSyntax(
                    f"The remove of {target.text} has a field that is unknown; name what to "
                    "remove in `value`, or by a filter in the path.",
                    attribute=target.text,
                )
            if "near-name" in found.repairs:
                raise InvalidPath(
                    f"Write the path as `{target.text}` to remove all of it.", attribute=target.text
                )

    def _is_whole_resource(self, name: str) -> bool:
        return (
            ":" in name
            and self.repairs.lenient
            and self.schema.resolve(name) is None
            and quirks.names_schema(name, self.schema)
        )

    def _read_path_less(self, op: str, value: Any) -> None:
        if op == "remove":
            raise NoTarget("A remove needs a `path` that names what to remove.", attribute="path")
        if not self.repairs.fire("path-less-patch"):
            raise InvalidSyntax("The operation needs a `path`.", attribute="path")
        self._take_names(op, "", self._attributes(value))

    def _read_whole(self, op: str, value: Any) -> None:
        """Split an operation under the resource type's own URN into one per attribute."""
        if op == "remove":
            raise InvalidPath(
                "A remove needs a `path` that names an attribute, not a schema.", attribute="path"
            )
        self.repairs.fire("schema-as-name")
        self._take_names(op, "", self._attributes(value))

    def _attributes(self, value: Any) -> Json:
        value = quirks.repair_object(value, self.repairs)
        if not isinstance(value, dict):
            raise InvalidValue(
                "Without a `path` the value must be an object of attributes.", attribute="value"
            )
        return value

    def _take_names(self, op: str, prefix: str, value: Json) -> None:
        """Split an operation on an object of attributes; `prefix` is the start of their paths."""
        fold_names(value)
        for name, item in value.items():
            if not prefix and self._is_whole_resource(name):
                self._read_whole(op, item)
                continue
            target = self._named(f"{prefix}{name}", name, value)
            if target is None:
                continue
            if isinstance(target, PatchPath) and target.is_read_only:
                self._refuse_deleted_attributes(target, item)
                if self.repairs.fire("read-only-dropped"):
                    self._knows_something = True
                    continue
            self._take(op, target, item)

    def _named(self, path: str, name: str, beside: Json) -> Target:
        """The target of a name in an object of attributes; None if it is to be ignored."""
        if self.schema.resolve(path) is not None:
            return self._found(path).target
        is_pointer = path == name and name.startswith("/")
        if "[" not in name and not is_pointer and not is_well_formed(path):
            meant = quirks.repair_name(path, self.schema, self.repairs)
            if not isinstance(meant, Attribute):
                refuse_unknown(path, self.repairs)
                return None
            path = meant.path
        elif "[" in name or "." in name or is_pointer:
            self.repairs.fire("path-as-name")
        target = self._found(path).target
        if (
            isinstance(target, PatchPath)
            and target.filter is None
            and target.sub is None
            and quirks.is_named_twice(target.attribute, beside, self.schema)
        ):
            refuse_unknown(path, self.repairs)
            return None
        return target

    def _refuse_deleted_attributes(self, path: PatchPath, value: Any) -> None:
        """Refuse SCIM 1's removal by `meta.attributes`, or it would be dropped as read-only."""
        is_meta = path.attribute.name == "meta" and isinstance(value, dict)
        if is_meta and fold_names(value).get("attributes"):
            raise InvalidValue(
                "meta.attributes removes nothing here; name each attribute in a `remove`.",
                attribute="meta.attributes",
            )

    def _take(self, op: str, target: Target, value: Any) -> None:
        if target is None:
            return
        if isinstance(target, Extension):
            self._take_extension(op, target, value)
            return
        self._knows_something = True
        if target.attribute.name == "schemas":
            return
        if target.target.name == "$ref" and not target.is_read_only:
            self._take_reference(op, target, value)
            return
        refuse_unwritable(target, op)
        self._refuse_whole_element(target, op)
        if target.attribute.name == "members":
            self.members.take(op, target, value, self.repairs)
        elif op == "remove":
            self._take_remove(target, value)
        else:
            self._take_value(op, target, value)

    def _take_reference(self, op: str, path: PatchPath, value: Any) -> None:
        """Read a `$ref`, which only the server sets: it gives the id if there is none beside it."""
        if op == "remove":
            raise Mutability(
                f"{path.target.path} follows from the id beside it; remove that.",
                attribute=path.target.path,
            )
        if is_blank(value) or path.attribute.multi_valued:
            return
        meant = quirks.repair_reference(value, self.repairs)
        if meant is None:
            raise InvalidValue(
                f"{path.target.path} names no resource; write its id as `value`.",
                attribute=path.target.path,
            )
        self._references.append((path, meant))

    def _refuse_whole_element(self, path: PatchPath, op: str) -> None:
        """The interop profile's §6.4.2.2: after a filter, only a sub-attribute is written.

        A remove of the selected elements is still allowed, because the profile has no other way to
        remove an element. The profile permits a server to refuse it, but does not require that.
        """
        if not self.repairs.lenient and op != "remove" and path.filter and path.sub is None:
            raise InvalidPath(
                f"The path must end in a sub-attribute of {path.attribute.path}, after the filter.",
                attribute=path.attribute.path,
            )

    def _take_extension(self, op: str, extension: Extension, value: Any) -> None:
        """Split an operation on a whole extension into one per attribute in its value."""
        if op == "remove" or value is None:
            self._knows_something = True
            if op != "add":
                self.operations.append({"op": "remove", "path": extension.urn})
            return
        if isinstance(value, dict) and len(value) == 1:
            ((name, inner),) = value.items()
            if self.schema.extension(name) is extension and self.repairs.fire(
                "value-under-its-name"
            ):
                value = inner
        if not isinstance(value, dict):
            raise InvalidValue(
                f"{extension.urn} must be an object with the extension's attributes.",
                attribute=extension.urn,
            )
        if op == "replace" and not self.repairs.lenient:
            self._knows_something = True
            self.operations.append({"op": "remove", "path": extension.urn})
        self._take_names(op, f"{extension.urn}:", value)

    def _take_remove(self, path: PatchPath, value: Any) -> None:
        attribute = path.attribute
        whole = path.filter is None and path.sub is None
        if value is not None and whole and attribute.multi_valued:
            self._remove_elements(path, value)
        elif whole and isinstance(value, dict) and not attribute.is_resource_reference:
            self._remove_parts(path, value)
        elif value is not None and attribute.kind == "boolean":
            raise InvalidValue(
                f"A remove of {path.text} takes no value; replace it by true or false.",
                attribute=path.text,
            )
        else:
            self.operations.append({"op": "remove", "path": path.text})

    def _remove_elements(self, path: PatchPath, value: Any) -> None:
        self._refuse_beside_remove(path)
        for element in elements_to_remove(path.attribute, value, self.repairs):
            selection = PatchPath(path.attribute, _same_element(path, element)).text
            try:
                self._found(selection)
            except (InvalidPath, InvalidFilter) as error:
                raise InvalidValue(
                    f"An element of {path.text} to remove is too long; select it by a short "
                    f'filter, such as `{path.text}[type eq "work"]`.',
                    attribute=path.text,
                ) from error
            self.operations.append({"op": "remove", "path": selection})

    def _remove_parts(self, path: PatchPath, value: Json) -> None:
        """Remove what the object names of a single complex value; without a value remove it all."""
        self._refuse_beside_remove(path)
        value = quirks.repair_wrapped(path.attribute, value, self.repairs)
        element = canonical_element(path.attribute, value, self.repairs)
        if element is None:
            refuse_nothing_read(path.attribute)
        for name in element:
            part = PatchPath(path.attribute, None, path.attribute.subs[name])
            self.operations.append({"op": "remove", "path": part.text})

    def _refuse_beside_remove(self, path: PatchPath) -> None:
        if not self.repairs.fire("remove-by-value"):
            raise InvalidSyntax(
                f"A remove takes no value; select by a filter: `{path.text}[value eq ...]`.",
                attribute=path.text,
            )

    def _take_value(self, op: str, path: PatchPath, value: Any) -> None:
        attribute = path.attribute
        if attribute.is_resource_reference and _is_blank(quirks.repair_object(value, self.repairs)):
            op = "replace"  # Entra removes a manager by adding an empty text.
        if path.sub is not None:
            canonical = canonical_simple(path.sub, value, self.repairs)
        elif path.filter is not None:
            canonical = self._element(path, value)
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

    def _element(self, path: PatchPath, value: Any) -> Json | None:
        """The value for the elements that a filter selects; None for no value."""
        attribute = path.attribute
        if isinstance(value, list) and len(value) == 1 and self.repairs.fire("list-of-one"):
            value = value[0]
        if isinstance(value, list) and value:
            raise InvalidValue(
                f"The path selects elements of {attribute.path} by a filter, so the value must "
                "be one object; replace the whole list without a filter.",
                attribute=attribute.path,
            )
        if value is None or value in ("", []):
            return None
        return canonical_object(attribute, value, self.repairs)

    def _take_complex(self, op: str, path: PatchPath, value: Json) -> None:
        """Remove sub-attributes that are null or blank; those not named stay."""
        value = quirks.repair_wrapped(path.attribute, value, self.repairs)
        if not isinstance(value, dict):
            self._put(op, path, canonical_value(path.attribute, value, self.repairs))
            return
        canonical = canonical_element(path.attribute, value, self.repairs)
        if canonical is None:
            refuse_unread(path.attribute, value, self.repairs)
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
        """Store an operation. A value that means unassigned removes; an add of it is dropped."""
        if value is not None:
            self.operations.append({"op": op, "path": path.text, "value": value})
        elif op == "replace":
            self.operations.append({"op": "remove", "path": path.text})


def _is_blank(value: Any) -> bool:
    """Whether a reference is a blank text: bare, as `value` of an object, or in a list of one."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict):
        value = fold_names(value).get("value")
    return isinstance(value, str) and not value.strip()


def _same_element(path: PatchPath, element: Json) -> Filter:
    """The filter that selects the element: by value and type, or by all it has."""
    names = ("value", "type") if "value" in element else tuple(element)
    terms = tuple(
        Comparison(AttributePath(path.attribute, path.attribute.subs[name]), "eq", element[name])
        for name in names
        if name in element
    )
    return terms[0] if len(terms) == 1 else And(terms)
