"""Identifiers are UUIDv7 and tell when they were minted."""

import uuid
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall.runtime import clock, ids


def spellings(identifier: str) -> list[str]:
    """Other texts that `uuid.UUID` takes for the same id, or nearly."""
    digits = identifier.replace("-", "")
    return [
        digits,
        f"{{{identifier}}}",
        f"urn:uuid:{identifier}",
        f"uuid:{digits[:31]}",
        f"urn:{digits}",
        f"{{{digits}}}--",
        f"----{digits}",
        f"{digits}----",
        "-".join((digits[:4], digits[4:8], digits[8:12], digits[12:16], digits[16:])),
        f"+{identifier[1:]}",
        identifier.translate(str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")),
        f"{identifier}\n",
        f" {identifier}",
    ]


def test_an_id_tells_when_it_was_minted() -> None:
    before = clock.now()

    minted = ids.minted_at(ids.new_id())

    assert abs(minted - before) < timedelta(seconds=1)


def test_only_a_uuid_as_we_write_them_is_an_id() -> None:
    identifier = ids.new_id()

    assert ids.parse_id(identifier.upper()) == identifier
    for other in spellings(identifier):
        assert ids.parse_id(other) is None


@given(st.text(max_size=45) | st.from_regex(r"[{+ _u-]?[0-9a-fA-F-]{30,36}[}]?", fullmatch=True))
def test_what_is_an_id_is_spelt_as_it_comes_back(text: str) -> None:
    found = ids.parse_id(text)

    assert found is None or (found == text.lower() == str(uuid.UUID(text)))


def test_another_uuid_version_tells_no_time() -> None:
    with pytest.raises(ValueError, match="UUIDv7"):
        ids.minted_at("7d2b6c1e-52b3-4a8e-9d3f-0f6a41c5be90")
