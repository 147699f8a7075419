"""Small directories, and filters, in whose texts letter case is difficult. No test in here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from random import Random

from hypothesis import strategies as st

from rollcall.directory.changes import AddMembers, Change, PutGroup, PutMember
from rollcall.directory.fold import collapse
from rollcall.directory.state import Group, Member
from rollcall.postgres import directory_write
from rollcall.postgres.directory_search import Resource
from rollcall.scim.errors import ScimError
from rollcall.scim.profile import Profile
from rollcall.scim.resource import canonicalise
from rollcall.scim.schema import ENTERPRISE_URN, USER, Attribute, ResourceSchema
from rollcall.scim.username import display_name_key
from rollcall_ingress.read.show import View, show
from tests.support.builders import MOMENT, ORGANISATION, Json, a_group, a_member, an_id
from tests.support.databases import Connection
from tests.support.samples import strategies

BASE = "https://scim.example/v2/o"
MEMBERS = 6
GROUPS = 3

# Dotted and dotless i, sharp s and long s, the Kelvin sign, final sigma, ligatures, letters beyond
# the basic plane, combining marks, full width; and what LIKE, SQL and JSON give a meaning to.
PIECES = (
    "a", "A", "i", "I", "İ", "ı", "ß", "ẞ", "ſ", "s", "SS", "K", "k", "Σ", "ς", "ﬁ", "ŉ", "ǰ",
    "é", "e\u0301", "É", "\U00010400", "\U00010428", "Ａ", "%", "_", "\\", "'", '"', "$1", " ",
    "Ω", "Å", "ᾳ", "ΐ", "٣", "漢", "😀", "Ꭰ", "ꭰ", "x",
)  # fmt: skip
texts = st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map("".join)
times = st.integers(-3, 3).map(lambda hours: MOMENT + timedelta(hours=hours)) | st.integers(
    0, 3000
).map(lambda milliseconds: MOMENT + timedelta(milliseconds=milliseconds))


def elements(*names: str) -> st.SearchStrategy[list[Json]]:
    """Elements of a multi-valued attribute with these texts."""
    return st.lists(
        st.fixed_dictionaries(
            {}, optional={**dict.fromkeys(names, texts), "primary": st.just(True)}
        ),
        max_size=3,
    )


bodies = st.builds(
    lambda base, more: {**base, **more},
    strategies.users(),
    st.fixed_dictionaries(
        {},
        optional={
            "userName": texts,
            "displayName": texts,
            "externalId": texts,
            "title": texts,
            "active": st.booleans(),
            "name": st.dictionaries(st.sampled_from(["givenName", "familyName"]), texts),
            "phoneNumbers": elements("value", "type", "display"),
            "photos": elements("value", "type"),
            "addresses": elements("locality", "type", "country"),
            "roles": elements("value", "display"),
            "x509Certificates": st.lists(st.just({"value": "QUJD"}), max_size=1),
            ENTERPRISE_URN: st.fixed_dictionaries(
                {}, optional={"department": texts, "manager": st.builds(dict, value=texts)}
            ),
        },
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Directory:
    """Members, groups, and who is in which; `shown` are their representations by type and id."""

    members: Sequence[Member]
    groups: Sequence[Group]
    memberships: frozenset[tuple[str, str]]

    def shown(self, schema: ResourceSchema) -> Mapping[str, Json]:
        """The representation of each resource of the type, by its id."""
        view = View(BASE)
        names = {member.id: member.resource.get("displayName") for member in self.members}
        if schema is USER:
            titles = {group.id: group.resource["displayName"] for group in self.groups}
            return {
                member.id: show(
                    Resource(
                        member,
                        tuple(
                            (group_id, titles[group_id])
                            for group_id, member_id in sorted(self.memberships)
                            if member_id == member.id
                        ),
                    ),
                    view,
                )
                for member in self.members
            }
        return {
            group.id: show(
                Resource(
                    group,
                    tuple(
                        (member_id, names[member_id])
                        for group_id, member_id in sorted(self.memberships)
                        if group_id == group.id and member_id in names
                    ),
                ),
                view,
            )
            for group in self.groups
        }

    async def write(self, connection: Connection) -> None:
        """Make the rows, and a membership of somebody who is not there."""
        changes: list[Change] = [
            *map(PutMember, self.members),
            *map(PutGroup, self.groups),
            *(AddMembers(group_id, (member_id,)) for group_id, member_id in self.memberships),
            *(AddMembers(group.id, (an_id(999),)) for group in self.groups),
        ]
        await directory_write.write_changes(
            connection, collapse((ORGANISATION, change) for change in changes)
        )


@st.composite
def directories(draw: st.DrawFn) -> Directory:
    """A small directory whose names do not collide."""
    members: dict[str, Member] = {}
    external: set[str | None] = set()
    for number in range(1, MEMBERS + 1):
        try:
            resource = canonicalise(draw(bodies), USER, Profile.COMPATIBLE).resource
            member = a_member(number, resource=resource)
        except ScimError:
            continue
        if member.user_name_key in members or member.external_id in external - {None}:
            continue
        external.add(member.external_id)
        members[member.user_name_key] = replace(
            member, created=draw(times), last_modified=draw(times)
        )
    groups = []
    for number in range(50, 50 + GROUPS):
        name = draw(texts.filter(lambda text: bool(text.strip())))
        group = a_group(number, name, display_name_key=display_name_key(name), created=draw(times))
        groups.append(replace(group, name_is_unique=False))
    pairs = [(group.id, member.id) for group in groups for member in members.values()]
    chosen = draw(st.lists(st.sampled_from(pairs), max_size=6)) if pairs else []
    return Directory(list(members.values()), groups, frozenset(chosen))


def paths(schema: ResourceSchema, *, also_complex: bool) -> list[Attribute]:
    """Every attribute and sub-attribute that a filter or a sort may name."""
    core = {attribute.path: attribute for attribute in schema.attributes.values()}
    for extension in schema.extensions.values():
        core |= {attribute.path: attribute for attribute in extension.attributes.values()}
    found = list(core.values())
    for attribute in core.values():
        found += {sub.path: sub for sub in attribute.subs.values()}.values()
    return [
        attribute
        for attribute in found
        if not attribute.path.endswith("manager.$ref")
        and (also_complex or not attribute.is_complex)
    ]


class FilterWriter:
    """Writes filters that a resource type takes; `known` are texts that its resources have."""

    def __init__(self, chance: Random, schema: ResourceSchema, known: Sequence[str]) -> None:
        self.chance = chance
        self.known = known
        self.schema = schema
        self.paths = paths(schema, also_complex=True)
        self.complex = [attribute for attribute in self.paths if attribute.is_complex]

    def write(self) -> str:
        """The text of a filter."""
        return self._combined(self._leaf, 3)

    def _leaf(self) -> str:
        if self.chance.random() < 0.3:
            return self._value_path(self.chance.choice(self.complex))
        attribute = self.chance.choice(self.paths)
        return self._comparison(attribute, attribute.path)

    def _value_path(self, attribute: Attribute) -> str:
        subs = [sub for sub in attribute.subs.values() if not sub.path.endswith("manager.$ref")]

        def leaf() -> str:
            sub = self.chance.choice(subs)
            return self._comparison(sub, sub.name)

        return f"{attribute.path}[{self._combined(leaf, 2)}]"

    def _combined(self, leaf: Callable[[], str], depth: int) -> str:
        match self.chance.randrange(7 if depth else 4):
            case 4:
                return f"({self._combined(leaf, depth - 1)} and {self._combined(leaf, depth - 1)})"
            case 5:
                return f"({self._combined(leaf, depth - 1)} or {self._combined(leaf, depth - 1)})"
            case 6:
                return f"not ({self._combined(leaf, depth - 1)})"
            case _:
                return leaf()

    def _comparison(self, attribute: Attribute, name: str) -> str:
        target = attribute.sub("value") if attribute.is_complex else attribute
        chance = self.chance.random()
        if target is None or chance < 0.15:
            return f"{name} pr"
        if chance < 0.3:
            return f"{name} {self.chance.choice(['eq', 'ne'])} null"
        operators = ["eq", "ne"]
        if target.kind in ("string", "reference"):
            operators += ["co", "sw", "ew"]
        if target.kind not in ("boolean", "binary"):
            operators += ["gt", "ge", "lt", "le"]
        return f"{name} {self.chance.choice(operators)} {self._literal(target)}"

    def _literal(self, attribute: Attribute) -> str:
        if attribute.kind == "boolean":
            return self.chance.choice(["true", "false"])
        if attribute.kind == "dateTime":
            return self._date_time()
        if attribute.kind == "binary":
            return self.chance.choice(['"QUJD"', '"QUJE"'])
        if self.chance.random() < 0.6:
            return quoted(self.chance.choice(self.known))
        return quoted("".join(self.chance.choices(PIECES, k=self.chance.randrange(3))))

    def _date_time(self) -> str:
        """About the times at which resources were made; in four zones, with or without fraction."""
        offset = self.chance.choice(["Z", "", "+05:30", "-08:00"])
        shift = {"+05:30": timedelta(hours=5.5), "-08:00": timedelta(hours=-8)}.get(offset)
        moment = MOMENT + timedelta(
            hours=self.chance.randint(-3, 3),
            microseconds=self.chance.choice([0, 0, 1, -1, 1_000, 123_456]),
        )
        local = (moment + (shift or timedelta())).replace(tzinfo=None)
        return f'"{local.isoformat(timespec="microseconds")}{offset}"'


def quoted(text: str) -> str:
    """A JSON string that holds this text."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
