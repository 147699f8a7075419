"""A member's attributes as lines that a person can read."""

from hypothesis import given
from hypothesis import strategies as st

from rollcall_console.people.attributes import MOST, attributes_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)


def test_each_value_has_the_path_of_a_mapping() -> None:
    lines = attributes_of(
        {
            "schemas": ["x"],
            "id": "1",
            "active": True,
            "userName": "ana@acme.example",
            "name": {"givenName": "Ana", "familyName": "Silva"},
            "emails": [
                {"value": "ana@acme.example", "type": "work", "primary": True},
                {"value": "ana@home.example"},
            ],
            "addresses": [{"type": "work", "locality": "Porto", "country": "PT"}],
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {
                "department": "Research",
                "manager": {"value": "2", "$ref": "../Users/2"},
            },
            "title": None,
        }
    )

    assert [(each.path, each.value) for each in lines] == [
        ("userName", "ana@acme.example"),
        ("name.givenName", "Ana"),
        ("name.familyName", "Silva"),
        ('emails[type eq "work"]', "ana@acme.example"),
        ("emails", "ana@home.example"),
        ('addresses[type eq "work"]', "locality: Porto, country: PT"),
        ("enterprise.department", "Research"),
        ("enterprise.manager.value", "2"),
    ]


@given(st.dictionaries(st.text(max_size=10), JSON, max_size=10))
def test_whatever_is_stored_can_be_shown(resource: dict[str, object]) -> None:
    lines = attributes_of(resource)

    assert len(lines) <= MOST
    assert all(isinstance(each.value, str) for each in lines)
