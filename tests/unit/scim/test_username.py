"""Keys of names (RFC 8265 §3.3)."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall.scim import resource
from rollcall.scim.errors import InvalidValue
from rollcall.scim.profile import Profile
from rollcall.scim.schema import USER
from rollcall.scim.username import checked_key, display_name_key, user_name_key


@pytest.mark.parametrize("name", [
    "BJensen", "bjensen", "ｂｊｅｎｓｅｎ", "bJENSEN ", " bjensen",
])  # fmt: skip
def test_names_that_must_not_both_exist_have_one_key(name: str) -> None:
    assert user_name_key(name) == "bjensen"


def test_kelvin_sign_and_decomposed_letters_collide() -> None:
    assert user_name_key("\u212aim") == "kim"
    assert user_name_key("Rene\u0301e") == user_name_key("renée")


@pytest.mark.parametrize("name", [
    "guest_other.example#EXT#@tenant.example", "ana maria", "o'brien", "a+b@x.example", "DOM\\ana",
    "אבג@x.example", "ﬁona", "ſam", "ﾊﾅｺ", "Ἀθηνᾶ", "名前 太郎", "١٢٣@x.example",
])  # fmt: skip
def test_names_that_directories_have_get_a_key(name: str) -> None:
    assert user_name_key(name)


def test_compatibility_characters_are_not_made_equal() -> None:
    """NFKC would make two people's names one."""
    assert user_name_key("ſam") != user_name_key("sam")
    assert user_name_key("ﬁona") != user_name_key("fiona")


def test_dotless_i_is_not_i() -> None:
    """CVE-2019-19844."""
    assert user_name_key("mıke@x.example") != user_name_key("mike@x.example")


@pytest.mark.parametrize("name", [
    "", " ", "\u3000", "a\nb", "ana\n", "a\0", "a\u200bb", "a\u202eb", "a\u2028b", "a\x7f",
    "a\u00adb",
    "\ud800", "a\ufeff",
])  # fmt: skip
def test_invisible_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        user_name_key(name)

    assert caught.value.attribute == "userName"


@given(st.text(max_size=12))
def test_key_of_a_key_is_the_key(name: str) -> None:
    try:
        key = user_name_key(name)
    except InvalidValue:
        return

    assert user_name_key(key) == key


@pytest.mark.parametrize("name", [
    "Platform  Engineering", " platform engineering", "ＰＬＡＴＦＯＲＭ engineering",
    "Platform\u00a0Engineering", "platform\u3000ENGINEERING ",
])  # fmt: skip
def test_group_names_that_read_the_same_have_one_key(name: str) -> None:
    assert display_name_key(name) == "platform engineering"


@given(st.text(max_size=12))
def test_display_name_key_does_not_depend_on_normalisation(name: str) -> None:
    key = display_name_key(name)

    assert display_name_key(unicodedata.normalize("NFC", name)) == key
    assert display_name_key(key) == key


def test_a_key_that_no_index_has_room_for_is_refused() -> None:
    fits, too_long = "𝐀" * 600, "𝐀" * 700

    assert checked_key(fits, "displayName") == fits
    with pytest.raises(InvalidValue) as caught:
        checked_key(too_long, "displayName")
    assert caught.value.attribute == "displayName"


def test_an_external_id_that_no_index_has_room_for_is_refused() -> None:
    body = {"userName": "ana", "externalId": "𝐀" * 700}

    with pytest.raises(InvalidValue) as caught:
        resource.canonicalise(body, USER, Profile.COMPATIBLE)

    assert caught.value.attribute == "externalId"
