"""Who gets in, and that nobody learns from a refusal why."""

from datetime import timedelta

import pytest

from rollcall.runtime.errors import Unavailable
from rollcall.scim.errors import Forbidden, ScimError, Unauthorized
from rollcall.tenancy.organisation import Record
from rollcall_ingress.door.answer import error_answer
from rollcall_ingress.door.authenticate import Authenticator, Principal, StaleAfter, Use
from rollcall_ingress.door.rate import Rates
from tests.support.builders import ORGANISATION, OTHER_ORGANISATION
from tests.unit.ingress.tenants import (
    MOMENT,
    Reader,
    a_directory,
    a_key,
    a_key_text,
    a_record,
    an_organisation,
)

GOOD = f"Bearer {a_key_text()}"
TENANTS: tuple[Record, ...] = (
    an_organisation(),
    an_organisation(OTHER_ORGANISATION),
    a_key(1),
    a_key(2, OTHER_ORGANISATION),
    a_key(3, revoked=MOMENT),
    a_key(4, expires=MOMENT),
    a_key(5, "01900000-0000-7000-8000-0000000000ff"),
)


ANY_USE = Use()


async def enter(
    authorization: list[str],
    organisation: str = ORGANISATION,
    *,
    reader: Reader | None = None,
    records: tuple[Record, ...] = TENANTS,
    is_write: bool = False,
    use: Use = ANY_USE,
) -> Principal:
    directory = a_directory(*records, reader=reader)
    authenticator = Authenticator(directory, StaleAfter(read_s=900, write_s=15), Rates(lambda: 0))
    return await authenticator.authenticate(
        authorization, organisation, is_write=is_write, at=MOMENT + timedelta(seconds=1), use=use
    )


async def test_a_living_key_opens_its_organisation() -> None:
    principal = await enter([GOOD])

    assert principal.organisation.id == ORGANISATION
    assert principal.actor == f"key:{a_key().public_id}"


@pytest.mark.parametrize(
    "authorization",
    [
        [],
        [GOOD, GOOD],
        [""],
        ["Bearer"],
        ["Bearer "],
        [a_key_text()],
        [f"Basic {a_key_text()}"],
        [f"Bearer {a_key_text()}x"],
        [f"Bearer {a_key_text()[:-1]}"],
        [f"Bearer {a_key_text(9)}"],
        [f"Bearer {a_key_text(2)}"],
        [f"Bearer {a_key_text(3)}"],
        [f"Bearer {a_key_text(4)}"],
        [f"Bearer {a_key_text(5)}"],
        ["Bearer " + "x" * 250],
        ["Bearer " + "\udcff" * 20],
        ["Bearer " + a_key_text().replace("a", "å")],
        [f"Bearer\t{a_key_text()}"],
    ],
)
async def test_every_refusal_is_the_same_to_the_byte(authorization: list[str]) -> None:
    reference = error_answer(Unauthorized(headers={"WWW-Authenticate": "Bearer"}))

    with pytest.raises(Unauthorized) as caught:
        await enter(authorization)

    assert error_answer(caught.value) == reference


@pytest.mark.parametrize(
    "organisation",
    [
        "",
        "not-an-id",
        OTHER_ORGANISATION,
        ORGANISATION[:-1],
        "%30",
        "\x00",
        f"{{{ORGANISATION}}}",
        f"urn:uuid:{ORGANISATION}",
        f"----{ORGANISATION.replace('-', '')}",
        f"{ORGANISATION} ",
    ],
)
async def test_a_key_opens_no_other_address(organisation: str) -> None:
    reference = error_answer(Unauthorized(headers={"WWW-Authenticate": "Bearer"}))

    with pytest.raises(Unauthorized) as caught:
        await enter([GOOD], organisation)

    assert error_answer(caught.value) == reference


async def test_an_organisation_has_one_spelling() -> None:
    """A load balancer routes by the address as it is written: another is another replica."""
    lettered = "0190abcd-0000-7000-8000-00000000000f"
    records = (an_organisation(lettered), a_key(1, lettered))

    assert (await enter([GOOD], lettered, records=records)).organisation.id == lettered
    with pytest.raises(Unauthorized):
        await enter([GOOD], lettered.upper(), records=records)


async def test_a_key_with_a_wrong_secret_is_refused() -> None:
    genuine = a_key(1)
    other = a_key(2)
    mixed = type(genuine)(genuine.public_id, ORGANISATION, "test", other.sha256, MOMENT)

    with pytest.raises(Unauthorized):
        await enter([GOOD], records=(an_organisation(), mixed))


async def test_scim_switched_off_is_forbidden() -> None:
    with pytest.raises(Forbidden):
        await enter([GOOD], records=(an_organisation(scim_enabled=False), a_key()))


async def test_a_new_key_works_once_the_end_of_the_log_is_reached() -> None:
    reader = Reader(waiting=[a_record(a_key())])

    principal = await enter([GOOD], reader=reader, records=(an_organisation(),))

    assert principal.key.public_id == a_key().public_id
    assert reader.asked == 1


async def test_a_malformed_key_does_not_ask_kafka() -> None:
    reader = Reader()

    with pytest.raises(Unauthorized):
        await enter([GOOD[:-1]], reader=reader)

    assert reader.asked == 0


@pytest.mark.parametrize("is_reachable", [True, False])
async def test_a_known_id_and_an_unknown_one_take_the_same_time(is_reachable: bool) -> None:
    """Both wait for the end of the log, and both are told the same where it cannot be read."""
    genuine, other = a_key(1), a_key(2)
    wrong_secret = type(genuine)(genuine.public_id, ORGANISATION, "x", other.sha256, MOMENT)
    seen = []
    for records in ((an_organisation(), wrong_secret), (an_organisation(),)):
        reader = Reader(is_reachable=is_reachable)
        with pytest.raises((Unauthorized, Unavailable)) as caught:
            await enter([GOOD], reader=reader, records=records)
        seen.append((reader.asked, type(caught.value)))

    assert seen[0] == seen[1]
    assert seen[0][0] == 1


async def test_an_unknown_key_has_to_come_back_while_kafka_is_away() -> None:
    with pytest.raises(Unavailable):
        await enter([GOOD], reader=Reader(is_reachable=False), records=(an_organisation(),))


@pytest.mark.parametrize(
    ("age_s", "is_write", "is_open"),
    [(14.0, True, True), (16.0, True, False), (899.0, False, True), (901.0, False, False)],
)
async def test_old_keys_open_reads_longer_than_writes(
    age_s: float, is_write: bool, is_open: bool
) -> None:
    reader = Reader(age_s=age_s)

    if is_open:
        assert await enter([GOOD], reader=reader, is_write=is_write)
    else:
        with pytest.raises(Unavailable):
            await enter([GOOD], reader=reader, is_write=is_write)


async def test_a_wrong_key_is_401_however_old_the_directory_is() -> None:
    with pytest.raises(ScimError) as caught:
        await enter([f"Bearer {a_key_text(3)}"], reader=Reader(age_s=10_000))

    assert caught.value.status == 401
