"""What an operator may set, choose and look up; no server needed."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from rollcall.control.errors import ControlError, NotPossible
from rollcall.control.organisations import parse_expiry, parse_values
from rollcall.control.tenancy_log import NotThere, Tenancy, emptiest_partition
from rollcall.runtime.ids import new_id
from rollcall.tenancy.fold import Change
from rollcall.tenancy.organisation import ApiKey, Organisation
from rollcall_operator import table

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def an_organisation(name: str = "Acme", partition: int = 0) -> Organisation:
    return Organisation(id=new_id(), name=name, partition=partition, created=NOON)


def a_tenancy(*organisations: Organisation) -> Tenancy:
    tenancy = Tenancy()
    for organisation in organisations:
        tenancy.apply(Change(organisation.id, organisation))
    return tenancy


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("scim=off", {"scim_enabled": False}),
        ("scim=on", {"scim_enabled": True}),
        ("profile=interop", {"profile": "interop"}),
        ("name= Acme = Co ", {"name": "Acme = Co"}),
        ("language=nl", {"language": "nl"}),
        ("unique_group_names=off", {"unique_group_names": False}),
        ("unique_external_ids=on", {"unique_external_ids": True}),
        ("unique_external_ids=off", {"unique_external_ids": False}),
        ("confirm_on_accept=on", {"confirm_on_accept": True}),
        ("rate=25", {"rate": 25}),
        ("rate=off", {"rate": None}),
        ("burst=1", {"burst": 1}),
        ("burst=off", {"burst": None}),
    ],
)
def test_each_setting_becomes_a_field_of_the_organisation(
    text: str, changes: Mapping[str, object]
) -> None:
    assert parse_values([text]) == changes


@pytest.mark.parametrize("text", ["colour=red", "scim", "=on", "partition=3", "id=x"])
def test_what_cannot_be_set_is_refused_with_what_can(text: str) -> None:
    with pytest.raises(NotPossible, match="what may be set: scim= on or off; profile="):
        parse_values([text])


@pytest.mark.parametrize(
    ("text", "may_be"),
    [
        ("scim=yes", "on or off"),
        ("profile=strict", "compatible or interop"),
        ("language=de", "en or nl"),
        ("rate=24", "off, or requests a second from 25"),
        ("rate=100001", "off, or requests a second from 25 to 100000"),
        ("rate=-25", "off, or requests a second"),
        ("rate=٣٠", "off, or requests a second"),
        ("rate=2_5", "off, or requests a second"),
        ("rate=on", "off, or requests a second"),
        ("burst=0", r"off \(as many as the rate\), or requests at once from 1"),
        ("burst=" + "9" * 5000, r"off \(as many as the rate\), or requests at once from 1"),
    ],
)
def test_a_wrong_value_is_refused_with_what_it_may_be(text: str, may_be: str) -> None:
    with pytest.raises(ControlError, match=f"it may be {may_be}"):
        parse_values([text])


@pytest.mark.parametrize("name", ["", "   ", "a\nb", "x" * 201, "a\u202eb"])
def test_names_are_short_printable_and_not_blank(name: str) -> None:
    with pytest.raises(ControlError, match="is not a name"):
        parse_values([f"name={name}"])


def test_the_partition_with_the_fewest_organisations_is_chosen() -> None:
    organisations = [an_organisation(partition=number) for number in (0, 0, 1, 3, 3)]

    assert emptiest_partition(organisations, range(4)) == 2
    assert emptiest_partition([*organisations, an_organisation(partition=2)], range(4)) == 1


def test_partitions_that_are_not_there_are_not_counted() -> None:
    assert emptiest_partition([an_organisation(partition=9)], {2, 1}) == 1


def test_an_organisation_is_found_by_id_in_any_letter_case_and_by_name() -> None:
    acme = an_organisation("Acme")
    tenancy = a_tenancy(acme, an_organisation("Other"))

    assert tenancy.organisation(acme.id.upper()) is acme
    assert tenancy.organisation("Acme") is acme


def test_a_name_that_two_have_is_refused_with_both_ids() -> None:
    first, second = an_organisation(), an_organisation()

    with pytest.raises(NotThere) as error:
        a_tenancy(first, second).organisation("Acme")

    assert first.id in str(error.value)
    assert second.id in str(error.value)


def test_an_unknown_organisation_is_refused() -> None:
    with pytest.raises(NotThere, match="no organisation 'Acme'"):
        a_tenancy().organisation("Acme")


def test_the_latest_record_of_a_key_holds_and_a_tombstone_ends_it() -> None:
    key = ApiKey("abc", "org", "first", "00", NOON)
    tenancy = a_tenancy()

    tenancy.apply(Change("abc", key))
    tenancy.apply(Change("abc", replace(key, revoked=NOON)))

    assert [each.revoked for each in tenancy.keys_of("org")] == [NOON]
    tenancy.apply(Change("abc", None))
    assert tenancy.keys_of("org") == []


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-07-01", datetime(2026, 7, 1, tzinfo=UTC)),
        ("2026-07-01T10:00", datetime(2026, 7, 1, 10, tzinfo=UTC)),
        ("2026-07-01T10:00:00+02:00", datetime(2026, 7, 1, 8, tzinfo=UTC)),
    ],
)
def test_an_expiry_is_a_date_or_a_time_in_utc_unless_it_says_otherwise(
    text: str, moment: datetime
) -> None:
    assert parse_expiry(text, NOON) == moment


def test_an_expiry_in_the_past_or_no_date_is_refused() -> None:
    with pytest.raises(ControlError, match="in the past"):
        parse_expiry((NOON - timedelta(days=1)).isoformat(), NOON)
    with pytest.raises(ControlError, match="is not a date"):
        parse_expiry("next week", NOON)


def test_a_plain_table_is_aligned_with_numbers_on_the_right() -> None:
    lines = table.plain(("who", "bb", "p50"), [("c", "dd", "1,000 ms"), ("", "e", "2 ms")])

    assert lines == ["who  bb       p50", "c    dd  1,000 ms", "     e       2 ms"]
