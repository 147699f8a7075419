"""Identifiers are UUIDv7 and tell when they were minted."""

from datetime import timedelta

import pytest

from shared.runtime import clock, ids


def test_an_id_tells_when_it_was_minted() -> None:
    before = clock.now()

    minted = ids.minted_at(ids.new_id())

    assert abs(minted - before) < timedelta(seconds=1)


def test_only_a_uuid_as_we_write_them_is_an_id() -> None:
    identifier = ids.new_id()

    assert ids.parse_id(identifier.upper()) == identifier
    assert ids.parse_id(identifier.replace("-", "")) is None
    assert ids.parse_id("{" + identifier[1:]) is None


def test_another_uuid_version_tells_no_time() -> None:
    with pytest.raises(ValueError, match="UUIDv7"):
        ids.minted_at("7d2b6c1e-52b3-4a8e-9d3f-0f6a41c5be90")
