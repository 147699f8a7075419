"""The fold of the tenancy topic."""

from dataclasses import replace

from tests.support.builders import ORGANISATION
from tests.unit.ingress.tenants import (
    MOMENT,
    TenancyRecord,
    a_directory,
    a_key,
    a_record,
    an_organisation,
)


def test_the_last_record_of_a_key_counts() -> None:
    directory = a_directory(a_key(), a_key(revoked=MOMENT))

    found = directory.key(a_key().public_id)

    assert found is not None
    assert found.revoked == MOMENT


def test_the_last_record_of_an_organisation_counts() -> None:
    directory = a_directory(an_organisation(), an_organisation(scim_enabled=False))

    found = directory.organisation(ORGANISATION)

    assert found is not None
    assert not found.scim_enabled


def test_a_tombstone_takes_the_record_out() -> None:
    directory = a_directory(an_organisation(), a_key())

    directory.apply(TenancyRecord(ORGANISATION.encode(), None))
    directory.apply(TenancyRecord(a_key().public_id.encode(), None))

    assert directory.organisation(ORGANISATION) is None
    assert directory.key(a_key().public_id) is None


def test_a_record_that_cannot_be_read_closes_the_key_and_keeps_the_rest() -> None:
    directory = a_directory(an_organisation(), a_key())
    newer = a_record(a_key())
    headers = [
        (name, b"io.rollcall.tenancy.key.v9" if name == "ce_type" else value)
        for name, value in newer.headers
    ]

    directory.apply(replace(newer, headers=headers))
    directory.apply(TenancyRecord(ORGANISATION.encode(), b"{", ()))
    directory.apply(TenancyRecord(b"\xff", b"\xff", ()))

    assert directory.key(a_key().public_id) is None
    assert directory.organisation(ORGANISATION) is not None
