"""What hypothesis draws: bodies that look like SCIM and are wrong in places."""

from typing import Any

from hypothesis import strategies as st

from rollcall.scim.schema import ENTERPRISE_URN, GROUP_URN, USER_URN

NAMES = [
    "schemas", "id", "externalId", "meta", "userName", "USERNAME", "name", "displayName",
    "nickName", "profileUrl", "title", "active", "emails", "phoneNumbers", "photos", "addresses",
    "roles", "groups", "password", "x509Certificates", "members", "manager", "department",
    "favouriteColour", ENTERPRISE_URN, USER_URN, f"{ENTERPRISE_URN}:department",
    "urn:scim:schemas:core:1.0",
]  # fmt: skip
SUB_NAMES = [
    "value", "type", "primary", "display", "$ref", "givenName", "familyName", "formatted",
    "streetAddress", "department", "manager", "managerId", "displayName", "foo",
]  # fmt: skip
TEXTS = st.sampled_from(
    ["", " ", "ana", "ana@x.example", "Bo@x.example", "work", "home", "True", "false", "a\nb", "١"]
) | st.text(max_size=8)

scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(0, 1) | TEXTS
elements = st.dictionaries(st.sampled_from(SUB_NAMES), scalars, max_size=4)
values = scalars | elements | st.lists(elements | scalars, max_size=4)

names = st.sampled_from(NAMES) | st.text(max_size=6)
bodies = st.dictionaries(names, values | st.dictionaries(names, values, max_size=3), max_size=7)

emails = st.fixed_dictionaries(
    {"value": st.sampled_from(["a@x.example", "b@x.example", "c@x.example"])},
    optional={
        "type": st.sampled_from(["work", "home", "Work"]),
        "primary": st.booleans(),
        "display": st.sampled_from(["A", "B"]),
    },
)


def users() -> st.SearchStrategy[dict[str, Any]]:
    """POST bodies that are valid, in the compatible profile."""
    return st.fixed_dictionaries(
        {"schemas": st.just([USER_URN]), "userName": st.sampled_from(["ana", "Bo", "çelik"])},
        optional={
            "active": st.booleans(),
            "title": st.sampled_from(["Buyer", "", None]),
            "externalId": st.sampled_from(["e1", "e2"]),
            "name": st.dictionaries(
                st.sampled_from(["givenName", "familyName"]),
                st.sampled_from(["A", "B", None]),
                min_size=1,
            ),
            "emails": st.lists(emails, max_size=4),
            "addresses": st.lists(
                st.dictionaries(
                    st.sampled_from(["type", "locality", "country"]),
                    st.sampled_from(["work", "X"]),
                    min_size=1,
                ),
                max_size=3,
            ),
            ENTERPRISE_URN: st.dictionaries(
                st.sampled_from(["department", "costCenter"]), st.sampled_from(["D", "E"])
            )
            | st.just({"manager": {"value": "m1"}}),
        },
    )


def groups() -> st.SearchStrategy[dict[str, Any]]:
    """Bodies of groups that are valid."""
    ids = st.sampled_from(["m1", "m2", "m3"])
    return st.fixed_dictionaries(
        {"schemas": st.just([GROUP_URN]), "displayName": st.sampled_from(["Crew", "Deck hands"])},
        optional={"members": st.lists(ids | st.builds(lambda i: {"value": i}, ids), max_size=4)},
    )


PATHS = [
    "userName", "title", "active", "name", "name.givenName", "emails", "emails.value",
    'emails[type eq "work"]', 'emails[type eq "home"].value', "emails[primary eq true].display",
    'emails[type eq "work"].primary', 'addresses[type eq "work"].locality', "addresses",
    "department", "manager", f"{ENTERPRISE_URN}:costCenter", ENTERPRISE_URN, "members", "groups",
    'members[value eq "m1"]', "emails[", "id", "password", "nobody.knows", "",
]  # fmt: skip

operations = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "Replace", "remove", "REMOVE", "replace", "move"])},
    optional={
        "path": st.sampled_from(PATHS) | st.text(max_size=6) | st.none(),
        "value": values | st.lists(emails, max_size=3) | emails | bodies,
    },
)
patches = st.fixed_dictionaries({"Operations": st.lists(operations, min_size=1, max_size=5)})
