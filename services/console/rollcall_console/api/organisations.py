"""Organisations and their SCIM keys in the admin API."""

from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Final

from rollcall.control import organisations
from rollcall.control.tenancy_log import TenancyLog, open_log
from rollcall.postgres.console import console_api_keys as admin_keys
from rollcall.postgres.console import console_reads as reads
from rollcall.postgres.pool import Database
from rollcall.runtime.clock import now
from rollcall.tenancy.organisation import CONSOLE, ApiKey, Author, Organisation
from rollcall_console.api import models
from rollcall_console.api.edge import Call, Operation, Parameter, write_cursor
from rollcall_console.api.problems import Problem, not_found
from rollcall_console.config import ConsoleSettings
from rollcall_console.tenants import Tenants

LIMIT: Final = Parameter(
    "limit", "How many at the most.", {"type": "integer", "minimum": 1, "maximum": 200}
)
AFTER: Final = Parameter("after", "`next` of the page before.", {"type": "string"})
MAX_KEYS: Final = 20
ONE: Final = "/organisations/{organisation}"
KEYS: Final = f"{ONE}/keys"


@dataclass(frozen=True, slots=True)
class OrganisationCalls:
    """The operations and what they need."""

    settings: ConsoleSettings
    database: Database
    tenants: Tenants

    def operations(self) -> tuple[Operation, ...]:
        """All of them."""
        return (
            Operation(
                "GET", "/organisations", "organisations:read", self.list_all,
                "The organisations that the key is for, by name", models.Organisations,
                parameters=(LIMIT, AFTER),
            ),
            Operation(
                "POST", "/organisations", "organisations:write", self.create,
                "Make an organisation, with a first SCIM key", models.MadeOrganisation,
                body=models.NewOrganisation, status=201,
            ),
            Operation(
                "GET", ONE, "organisations:read", self.show, "One organisation",
                models.Organisation,
            ),
            Operation(
                "PATCH", ONE, "organisations:write", self.change, "Change its rules",
                models.Organisation, body=models.OrganisationChange,
            ),
            Operation("GET", KEYS, "keys:read", self.keys, "Its SCIM keys", models.Keys),
            Operation(
                "POST", KEYS, "keys:write", self.make_key, "Make a SCIM key", models.MadeKey,
                body=models.NewKey, status=201,
            ),
            Operation(
                "PUT", f"{KEYS}/{{key}}/limits", "keys:write", self.limit_key,
                "Set where a key may be used from, and what it may do", models.Key,
                body=models.KeyLimits,
            ),
            Operation(
                "POST", f"{KEYS}/{{key}}/replace", "keys:write", self.replace_key,
                "Make a key in the place of another, which works on for a while", models.MadeKey,
                body=models.KeyReplacement, status=201,
            ),
            Operation(
                "DELETE", f"{KEYS}/{{key}}", "keys:write", self.revoke_key,
                "End a key at once", None,
            ),
        )  # fmt: skip

    async def list_all(self, call: Call) -> models.Organisations:
        """A page of organisations."""
        limit, after = call.limit, call.after
        await self.tenants.is_current()
        own = call.key.organisation_id
        known = [
            (f"{each.name}\n{each.id}", each)
            for each in self.tenants.organisations()
            if own in (None, each.id)
        ]
        behind = [each for place, each in sorted(known, key=lambda one: one[0]) if place > after]
        shown = behind[:limit]
        last = f"{shown[-1].name}\n{shown[-1].id}" if shown else ""
        return models.Organisations(
            items=[self._shown(each) for each in shown],
            next=write_cursor(last) if len(behind) > limit else None,
        )

    async def create(self, call: Call) -> models.MadeOrganisation:
        """Make an organisation; only a key of the deployment may."""
        if call.key.organisation_id is not None:
            raise Problem(403, "bound", "This key is for one organisation, and makes no others.")
        body: models.NewOrganisation = call.body
        async with open_log(self.settings, Author(CONSOLE, call.by)) as log:
            made, key = await organisations.create_organisation(log, body.name, body.language)
        await self._record(call, "organisation.made", made.id)
        return models.MadeOrganisation(organisation=self._shown(made), api_key=key.text)

    async def show(self, call: Call) -> models.Organisation:
        """One organisation."""
        return self._shown(call.organisation)

    async def change(self, call: Call) -> models.Organisation:
        """Change what the body names."""
        body: models.OrganisationChange = call.body
        wanted = []
        for name in sorted(body.model_fields_set):
            value = getattr(body, name)
            if value is None and name not in ("rate", "burst"):
                raise Problem(400, "body", f"{name}: null cannot be set; leave it out.")
            key = "scim" if name == "scim_enabled" else name
            wanted.append(f"{key}={_text(value)}")
        if not wanted:
            return self._shown(call.organisation)
        async with open_log(self.settings, Author(CONSOLE, call.by)) as log:
            changed = await organisations.change_organisation(log, call.organisation.id, wanted)
        names = ", ".join(sorted(body.model_fields_set))
        await self._record(call, "settings", call.organisation.id, names)
        return self._shown(changed)

    async def keys(self, call: Call) -> models.Keys:
        """Its keys."""
        found = self.tenants.keys_of(call.organisation.id)
        async with self.database.connection() as connection:
            uses = await reads.key_uses(connection, [key.public_id for key in found])
        return models.Keys(items=[_key(key, uses.get(key.public_id)) for key in found])

    async def make_key(self, call: Call) -> models.MadeKey:
        """Make a key."""
        body: models.NewKey = call.body
        expires = None
        if body.expires is not None:
            if body.expires.tzinfo is None or body.expires <= now():
                raise Problem(400, "body", "expires: a time to come, with its offset.")
            expires = body.expires.astimezone(UTC)
        self._check_room(call)
        async with open_log(self.settings, Author(CONSOLE, call.by)) as log:
            record, made = await organisations.create_key(
                log, call.organisation.id, name=body.name, expires=expires,
                networks=body.networks, scopes=body.scopes,
            )  # fmt: skip
        await self._record(call, "key.made", call.organisation.id, record.public_id)
        return models.MadeKey(key=_key(record, None), api_key=made.text)

    async def limit_key(self, call: Call) -> models.Key:
        """Set a key's limits."""
        body: models.KeyLimits = call.body
        async with open_log(self.settings, Author(CONSOLE, call.by)) as log:
            record = await organisations.limit_key(
                log, call.organisation.id, await self._key_id(log, call),
                networks=body.networks, scopes=body.scopes,
            )  # fmt: skip
        await self._record(call, "key.limited", call.organisation.id, record.public_id)
        return _key(record, None)

    async def replace_key(self, call: Call) -> models.MadeKey:
        """Make a key in the place of another."""
        body: models.KeyReplacement = call.body
        self._check_room(call)
        until = now() + timedelta(hours=body.overlap_hours)
        async with open_log(self.settings, Author(CONSOLE, call.by)) as log:
            old = await self._key_id(log, call)
            record, made = await organisations.replace_key(
                log, call.organisation.id, old, until=until
            )
        await self._record(call, "key.replaced", call.organisation.id, old)
        return models.MadeKey(key=_key(record, None), api_key=made.text)

    async def revoke_key(self, call: Call) -> None:
        """End a key; one that is ended already stays so."""
        async with open_log(self.settings, Author(CONSOLE, call.by)) as log:
            public_id = await self._key_id(log, call)
            await organisations.revoke_key(log, call.organisation.id, public_id)
        await self._record(call, "key.revoked", call.organisation.id, public_id)

    async def _key_id(self, log: TenancyLog, call: Call) -> str:
        """The key that the path names, of this organisation. Raises Problem."""
        known = {key.public_id for key in (await log.read()).keys_of(call.organisation.id)}
        if call.part("key") not in known:
            raise not_found()
        return call.part("key")

    def _check_room(self, call: Call) -> None:
        at = now()
        alive = [key for key in self.tenants.keys_of(call.organisation.id) if key.is_alive(at)]
        if len(alive) >= MAX_KEYS:
            raise Problem(
                409, "too_many_keys", f"{MAX_KEYS} keys work already; revoke one of them first."
            )

    async def _record(
        self, call: Call, kind: str, organisation_id: str, subject: str | None = None
    ) -> None:
        async with self.database.connection() as connection:
            await admin_keys.record_act(connection, call.key, kind, organisation_id, subject)

    def _shown(self, found: Organisation) -> models.Organisation:
        return models.Organisation(
            id=found.id,
            name=found.name,
            created=found.created,
            scim_url=self.settings.scim_url(found.id),
            scim_enabled=found.scim_enabled,
            profile=found.profile,
            language=found.language,
            unique_group_names=found.unique_group_names,
            unique_external_ids=found.unique_external_ids,
            confirm_on_accept=found.confirm_on_accept,
            rate=found.rate,
            burst=found.burst,
        )


def _key(key: ApiKey, last_used: object) -> models.Key:
    return models.Key.model_validate(
        {
            "public_id": key.public_id,
            "name": key.name,
            "created": key.created,
            "expires": key.expires,
            "revoked": key.revoked,
            "last_used": last_used,
            "networks": list(key.networks),
            "scopes": list(key.scopes),
        }
    )


def _text(value: object) -> str:
    if value is None:
        return "off"
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)
