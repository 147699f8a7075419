"""PATCH operations on a group's `members`, reduced to one delta (RFC 7644 §3.5.2).

Memberships are rows, so adding one member to a group of 100,000 must not load the others. Any
sequence of operations is reduced to: empty the group or not, then add these ids and remove those.
An id is in at most one of the two, because the later operation wins.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from rollcall.scim.errors import InvalidFilter, InvalidPath, InvalidSyntax, InvalidValue, Mutability
from rollcall.scim.filter import Comparison, Filter, Or
from rollcall.scim.limits import MAX_MEMBERS
from rollcall.scim.member_ids import canonical_member_ids, member_id, read_member_ids
from rollcall.scim.patch.path import PatchPath
from rollcall.scim.quirks import Repairs, repair_reference
from rollcall.scim.schema import Attribute

UUID_LENGTH: Final = 36


@dataclass(frozen=True, slots=True)
class MemberDelta:
    """Empty the group if `clear`, then add and remove ids. With `clear` nothing is removed."""

    clear: bool
    add: tuple[str, ...]
    remove: tuple[str, ...]


class MemberChanges:
    """Collects the effect of the operations so far."""

    def __init__(self) -> None:
        self._clear = False
        self._add: dict[str, None] = {}
        self._remove: dict[str, None] = {}

    def take(self, op: str, path: PatchPath, value: Any, repairs: Repairs) -> None:
        """Apply one operation on `members`.

        Raises InvalidFilter and InvalidPath for a selection other than by `value eq`, and
        InvalidValue for unreadable ids. In the interop profile also InvalidSyntax for a list beside
        the path of a remove, and Mutability for another id in the place of one.
        """
        if path.filter is not None:
            self._take_selection(op, path, value, repairs)
        elif path.sub is not None:
            raise InvalidPath(
                'Name whole members: `members`, or `members[value eq "id"]`.',
                attribute=path.text,
            )
        elif op == "remove":
            self._take_remove(path, value, repairs)
        elif value is None:
            if op == "replace":
                self._empty()
        else:
            self._take_whole(op, path, value, repairs)
        if len(self._add) + len(self._remove) > MAX_MEMBERS:
            raise InvalidValue(
                f"The operations name more than {MAX_MEMBERS} members; send them in parts.",
                attribute=path.attribute.path,
            )

    def delta(self) -> MemberDelta | None:
        """The one delta with the same effect; None if there is no effect."""
        if not (self._clear or self._add or self._remove):
            return None
        return MemberDelta(self._clear, tuple(self._add), tuple(self._remove))

    def _take_whole(self, op: str, path: PatchPath, value: Any, repairs: Repairs) -> None:
        ids = read_member_ids(path.attribute, value, repairs)
        if op == "replace":
            if ids.deleted:
                raise InvalidValue(
                    "members: a replace names who stays; remove the others by a `remove`.",
                    attribute=path.text,
                )
            self._empty()
        self._put(ids.named)
        self._drop(ids.deleted)

    def _take_remove(self, path: PatchPath, value: Any, repairs: Repairs) -> None:
        if value is None:
            self._empty()
        elif repairs.fire("remove-by-value"):
            ids = read_member_ids(path.attribute, value, repairs)
            self._drop((*ids.named, *ids.deleted))
        else:
            raise InvalidSyntax(
                'A remove takes no value; name the member as `members[value eq "id"]`.',
                attribute=path.text,
            )

    def _take_selection(self, op: str, path: PatchPath, value: Any, repairs: Repairs) -> None:
        ids = selected_ids(path.filter, path.attribute, repairs)
        if path.sub is not None and path.sub.name != "value":
            if op == "remove":
                raise Mutability(
                    f"{path.target.path} follows from who the member is; remove the member.",
                    attribute=path.target.path,
                )
            return
        given = value if path.sub is None or value is None else [{"value": value}]
        if op == "replace":
            if path.sub is not None and (value,) != ids:
                self._refuse_exchange(path, repairs)
            named = () if given is None else canonical_member_ids(path.attribute, given, repairs)
            self._drop(ids)
            self._put(named)
            return
        if given not in (None, "", [], {}):
            self._refuse_others(ids, canonical_member_ids(path.attribute, given, repairs))
        if op == "remove":
            self._drop(ids)
        else:
            repairs.fire("create-by-filter")
            self._put(ids)

    def _refuse_others(self, ids: tuple[str, ...], named: tuple[str, ...]) -> None:
        if not set(named) <= set(ids):
            raise InvalidValue(
                "The path selects members by their id and the value names others; name them in "
                "one of the two.",
                attribute="members",
            )

    def _refuse_exchange(self, path: PatchPath, repairs: Repairs) -> None:
        """A member's id is immutable (RFC 7643 §4.2): another id is another member."""
        if not repairs.fire("member-exchanged"):
            raise Mutability(
                "members.value cannot be changed; remove the member and add the other.",
                attribute=path.target.path,
            )

    def _empty(self) -> None:
        self._clear = True
        self._add.clear()
        self._remove.clear()

    def _put(self, ids: Sequence[str]) -> None:
        for each in map(_as_written, ids):
            self._remove.pop(each, None)
            self._add[each] = None

    def _drop(self, ids: Sequence[str]) -> None:
        for each in map(_as_written, ids):
            self._add.pop(each, None)
            if not self._clear:
                self._remove[each] = None


def _as_written(text: str) -> str:
    """An id in our form: the letter case of a UUID does not matter (RFC 9562 §4)."""
    return text.lower() if len(text) == UUID_LENGTH else text


def selected_ids(node: Filter | None, attribute: Attribute, repairs: Repairs) -> tuple[str, ...]:
    """The ids in `value eq "a" or value eq "b"`.

    A `$ref` stands for the id at its end. Raises InvalidFilter for any other filter, and
    InvalidValue for a value that is not one id.
    """
    match node:
        case Comparison(path, "eq", str(value)) if path.target.name == "value":
            return (member_id(attribute, value, repairs),)
        case Comparison(path, "eq", str(value)) if path.target.name == "$ref":
            found = repair_reference(value, repairs)
            if found is not None:
                return (found,)
        case Or(terms):
            return tuple(
                dict.fromkeys(
                    found for term in terms for found in selected_ids(term, attribute, repairs)
                )
            )
    raise InvalidFilter(
        'Members can be selected by their id only: `members[value eq "id"]`, joined by `or`.',
        attribute="members",
    )
