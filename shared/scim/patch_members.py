"""PATCH operations on a group's `members`, reduced to one delta (RFC 7644 §3.5.2).

Memberships are rows, so adding one member to a group of 100,000 must not need the others. Any
order of operations comes down to: empty the group or not, then add these, remove those. An id
stands in one of the two at most, because the later operation wins.
"""

from dataclasses import dataclass
from typing import Any

from shared.scim.errors import InvalidFilter, InvalidPath, InvalidSyntax, InvalidValue, Mutability
from shared.scim.filter import Comparison, Filter, Or
from shared.scim.limits import MAX_MEMBERS
from shared.scim.patch_path import PatchPath
from shared.scim.quirks import Repairs
from shared.scim.values import canonical_member_ids


@dataclass(frozen=True, slots=True)
class MemberDelta:
    """Empty the group if `clear`, then add and remove these ids. With `clear`, none to remove."""

    clear: bool
    add: tuple[str, ...]
    remove: tuple[str, ...]


class MemberChanges:
    """What the operations so far come down to."""

    def __init__(self) -> None:
        self._clear = False
        self._add: dict[str, None] = {}
        self._remove: dict[str, None] = {}

    def take(self, op: str, path: PatchPath, value: Any, repairs: Repairs) -> None:
        """Take one operation on `members`.

        Raises InvalidFilter and InvalidPath for a selection other than by `value eq`,
        InvalidSyntax for a list beside the path of a remove and Mutability for another id in the
        place of one (both interop), and InvalidValue.
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
        else:
            if op == "replace":
                self._empty()
            if value is not None:
                self._put(canonical_member_ids(path.attribute, value, repairs))
        if len(self._add) + len(self._remove) > MAX_MEMBERS:
            raise InvalidValue(
                f"The operations name more than {MAX_MEMBERS} members; send them in parts.",
                attribute=path.attribute.path,
            )

    def delta(self) -> MemberDelta | None:
        """The one delta with the same effect; None where that is no effect."""
        if not (self._clear or self._add or self._remove):
            return None
        return MemberDelta(self._clear, tuple(self._add), tuple(self._remove))

    def _take_remove(self, path: PatchPath, value: Any, repairs: Repairs) -> None:
        if value is None:
            self._empty()
        elif repairs.fire("remove-by-value"):
            self._drop(canonical_member_ids(path.attribute, value, repairs))
        else:
            raise InvalidSyntax(
                'A remove takes no value; name the member as `members[value eq "id"]`.',
                attribute=path.text,
            )

    def _take_selection(self, op: str, path: PatchPath, value: Any, repairs: Repairs) -> None:
        ids = selected_ids(path.filter)
        if path.sub is not None and path.sub.name != "value":
            return
        if op != "remove" and path.sub is not None and (value,) != ids:
            self._refuse_exchange(path, repairs)
        if op == "remove":
            self._drop(ids)
        elif op == "replace":
            new = value if path.sub is None else [{"value": value}]
            named = canonical_member_ids(path.attribute, new, repairs) if new is not None else ()
            self._drop(ids)
            self._put(named)
        elif repairs.fire("create-by-filter"):
            self._put(ids)

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

    def _put(self, ids: tuple[str, ...]) -> None:
        for member_id in ids:
            self._remove.pop(member_id, None)
            self._add[member_id] = None

    def _drop(self, ids: tuple[str, ...]) -> None:
        for member_id in ids:
            self._add.pop(member_id, None)
            if not self._clear:
                self._remove[member_id] = None


def selected_ids(node: Filter | None) -> tuple[str, ...]:
    """The ids in `value eq "a" or value eq "b"`. Raises InvalidFilter for any other filter."""
    match node:
        case Comparison(path, "eq", str(value)) if path.target.name == "value":
            return (value,)
        case Or(terms):
            return tuple(dict.fromkeys(found for term in terms for found in selected_ids(term)))
    raise InvalidFilter(
        'Members can be selected by their id only: `members[value eq "id"]`, joined by `or`.',
        attribute="members",
    )
