"""Organisations and keys: created, changed, revoked, on the tenancy topic."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from typing import Any, Final

from rollcall.control.errors import NotPossible
from rollcall.control.tenancy_log import NotThere, Tenancy, TenancyLog, emptiest_partition
from rollcall.runtime.clock import now
from rollcall.runtime.ids import new_id
from rollcall.tenancy import api_key
from rollcall.tenancy.api_key import NewKey
from rollcall.tenancy.limits import (
    MAX_NETWORKS,
    SCOPES,
    canonical_networks,
    canonical_scopes,
    parse_network,
)
from rollcall.tenancy.organisation import LEAST_RATE, MOST_BURST, MOST_RATE, ApiKey, Organisation

MAX_NAME: Final = 200
LANGUAGES: Final = ("en", "nl")
_SWITCH: Final = {"on": True, "off": False}
_PROFILES: Final = ("compatible", "interop")
MAY_SET: Final[Mapping[str, tuple[str, str]]] = {
    "scim": ("scim_enabled", "on or off"),
    "profile": ("profile", " or ".join(_PROFILES)),
    "name": ("name", f"text of 1 to {MAX_NAME} characters"),
    "language": ("language", " or ".join(LANGUAGES)),
    "unique_group_names": ("unique_group_names", "on or off"),
    "unique_external_ids": ("unique_external_ids", "on or off"),
    "confirm_on_accept": ("confirm_on_accept", "on or off"),
    "rate": ("rate", f"off, or requests a second from {LEAST_RATE} to {MOST_RATE}"),
    "burst": ("burst", f"off (as many as the rate), or requests at once from 1 to {MOST_BURST}"),
}
"""Setting → (field of Organisation, what it may be)."""


async def create_organisation(
    log: TenancyLog, name: str, language: str = "en"
) -> tuple[Organisation, NewKey]:
    """Create an organisation and its first key, in the partition with the fewest organisations.

    Raises NotPossible (a wrong name or language, topics missing), Unavailable.
    """
    changes = parse_values([f"name={name}", f"language={language}"])
    tenancy = await log.read()
    organisation = Organisation(
        id=new_id(),
        partition=emptiest_partition(
            tenancy.organisations.values(), await log.requests_partitions()
        ),
        created=now(),
        **changes,
    )
    await log.write(organisation)
    _, key = await create_key(log, organisation.id, name="first key")
    return organisation, key


async def change_organisation(
    log: TenancyLog, id_or_name: str, values: Sequence[str]
) -> Organisation:
    """Set `KEY=VALUE` of an organisation. Raises NotPossible, Unavailable."""
    changes = parse_values(values)
    organisation = (await log.read()).organisation(id_or_name)
    _refuse_while_offboarding(organisation)
    return await log.change(organisation, lambda present: replace(present, **changes))


async def create_key(
    log: TenancyLog,
    organisation_id: str,
    *,
    name: str,
    expires: datetime | None = None,
    networks: Sequence[str] = (),
    scopes: Sequence[str] = (),
) -> tuple[ApiKey, NewKey]:
    """Make a key and write its record; `networks` and `scopes` limit it.

    Raises NotPossible for a wrong name or limit, Unavailable.
    """
    limits = parse_limits(networks, scopes)
    if found := (await log.read()).organisations.get(organisation_id):
        _refuse_while_offboarding(found)
    made = api_key.make(secrets.token_bytes(48))
    record = ApiKey(
        public_id=made.public_id,
        organisation_id=organisation_id,
        name=_parse_name(name),
        sha256=made.sha256,
        created=now(),
        expires=expires,
        networks=limits.networks,
        scopes=limits.scopes,
    )
    await log.write(record)
    return record, made


@dataclass(frozen=True, slots=True)
class Limits:
    """What narrows a key, in the form of its record; nothing: no limit."""

    networks: tuple[str, ...]
    scopes: tuple[str, ...]


def parse_limits(networks: Sequence[str], scopes: Sequence[str]) -> Limits:
    """Limits as they are typed. Raises NotPossible that says what may be typed."""
    for text in networks:
        try:
            parse_network(text)
        except ValueError:
            raise NotPossible(
                f"{text!r} is no network: write 192.0.2.0/24, 2001:db8::/32 or one address, "
                "without bits beyond the prefix"
            ) from None
    if len(networks) > MAX_NETWORKS:
        raise NotPossible(f"a key may have {MAX_NETWORKS} networks at the most")
    for text in scopes:
        if text not in SCOPES:
            raise NotPossible(f"{text!r} is no scope; one of {', '.join(SCOPES)}")
    return Limits(canonical_networks(networks), canonical_scopes(scopes))


async def limit_key(
    log: TenancyLog,
    id_or_name: str,
    public_id: str,
    *,
    networks: Sequence[str],
    scopes: Sequence[str],
) -> ApiKey:
    """Set a key's limits in the place of those it had; empty ones take a limit away.

    Raises NotPossible, NotThere, Unavailable.
    """
    limits = parse_limits(networks, scopes)
    key = _key_of(await log.read(), id_or_name, public_id)
    if not key.is_alive(now()):
        raise NotPossible(f"{public_id} does not work any more; make a new key instead")
    return await log.change(
        key, lambda present: replace(present, networks=limits.networks, scopes=limits.scopes)
    )


async def revoke_key(log: TenancyLog, id_or_name: str, public_id: str) -> ApiKey:
    """Revoke a key; one that is revoked already stays as it is. Raises NotThere, Unavailable."""
    key = _key_of(await log.read(), id_or_name, public_id)
    if key.revoked is not None:
        return key
    return await log.change(key, lambda present: replace(present, revoked=present.revoked or now()))


async def replace_key(
    log: TenancyLog, organisation_id: str, public_id: str, *, until: datetime
) -> tuple[ApiKey, NewKey]:
    """Make a key with the name of another one, which goes on working up to `until`.

    So the identity provider can be given the new one without an outage. The new key has the same
    limits and does not expire. Raises NotPossible where the other key is dead already, NotThere,
    Unavailable.
    """
    old = _key_of(await log.read(), organisation_id, public_id)
    if not old.is_alive(now()):
        raise NotPossible(f"{public_id} does not work any more; make a new key instead")
    made = await create_key(
        log, organisation_id, name=old.name, networks=old.networks, scopes=old.scopes
    )
    await log.change(
        old,
        lambda present: replace(
            present, expires=until if present.expires is None else min(present.expires, until)
        ),
    )
    return made


def _key_of(tenancy: Tenancy, organisation_id: str, public_id: str) -> ApiKey:
    organisation = tenancy.organisation(organisation_id)
    for key in tenancy.keys_of(organisation.id):
        if key.public_id == public_id:
            return key
    raise NotThere(f"{organisation.name} has no key {public_id!r}", hint="list keys")


def _refuse_while_offboarding(organisation: Organisation) -> None:
    if organisation.leaving is not None:
        raise NotPossible(
            f"{organisation.name} is being deleted; `rollcall org delete {organisation.id}` ends it"
        )


def parse_values(values: Sequence[str]) -> dict[str, Any]:
    """Fields of Organisation from `KEY=VALUE` texts; the last of a key holds.

    Raises NotPossible that lists what may be set.
    """
    changes: dict[str, Any] = {}
    for text in values:
        key, separator, value = text.partition("=")
        if not separator or key not in MAY_SET:
            choices = "; ".join(f"{name}= {may_be}" for name, (_, may_be) in MAY_SET.items())
            raise NotPossible(f"{text!r} cannot be set; what may be set: {choices}")
        field, may_be = MAY_SET[key]
        try:
            changes[field] = _PARSERS[key](value)
        except (KeyError, ValueError):
            raise NotPossible(f"{key} cannot be {value!r}; it may be {may_be}") from None
    return changes


def settings_of(organisation: Organisation) -> dict[str, Any]:
    """What may be set and what it is now."""
    return {key: getattr(organisation, field) for key, (field, _) in MAY_SET.items()}


def parse_expiry(text: str, at: datetime) -> datetime:
    """The first moment at which a key no longer works, from ISO 8601; no offset means UTC.

    Raises NotPossible for anything else, and for the past (`at` is the present).
    """
    try:
        moment = (
            datetime.combine(date.fromisoformat(text), time(), UTC)
            if len(text) == 10
            else datetime.fromisoformat(text)
        )
    except ValueError:
        raise NotPossible(
            f"{text!r} is not a date; write 2027-01-31 or 2027-01-31T18:00:00+01:00"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if moment <= at:
        raise NotPossible(f"{text} is in the past")
    return moment.astimezone(UTC)


def _parse_name(text: str) -> str:
    name = text.strip()
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        raise NotPossible(f"{text!r} is not a name: 1 to {MAX_NAME} printable characters")
    return name


def _one_of(choices: Sequence[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(text)
        return text

    return parse


def _whole_number(least: int, most: int) -> Callable[[str], int | None]:
    """None for `off`."""

    def parse(text: str) -> int | None:
        if text == "off":
            return None
        if not (text.isascii() and text.isdigit() and len(text) <= 9):
            raise ValueError(text)
        if not least <= int(text) <= most:
            raise ValueError(text)
        return int(text)

    return parse


_PARSERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "scim": _SWITCH.__getitem__,
    "profile": _one_of(_PROFILES),
    "name": _parse_name,
    "language": _one_of(LANGUAGES),
    "unique_group_names": _SWITCH.__getitem__,
    "unique_external_ids": _SWITCH.__getitem__,
    "confirm_on_accept": _SWITCH.__getitem__,
    "rate": _whole_number(LEAST_RATE, MOST_RATE),
    "burst": _whole_number(1, MOST_BURST),
}
