"""An organisation as it is now, to take along: settings, users, groups; never keys or hashes.

The first document (row) is the organisation, the last one the manifest: the counts, and the
SHA-256 of every byte before it (CSV: the digest in `id`, the counts in `groups` and `members`).
"""

import hashlib
from dataclasses import dataclass

from rollcall.control import organisations
from rollcall.control.deployment import Deployment
from rollcall.control.export import FORMATS, Json, Output, write_resources
from rollcall.control.meter import Meter
from rollcall.events.envelope import format_time
from rollcall.runtime import clock
from rollcall.tenancy.organisation import Organisation


@dataclass(frozen=True, slots=True)
class Manifest:
    """How much was written, and the SHA-256 of everything before the manifest."""

    users: int
    groups: int
    memberships: int
    sha256: str

    def to_json(self) -> Json:
        """The manifest as JSON."""
        return {
            "users": self.users,
            "groups": self.groups,
            "memberships": self.memberships,
            "sha256": self.sha256,
        }


async def export(
    deployment: Deployment, organisation: Organisation, form: str, output: Output, meter: Meter
) -> Manifest:
    """Write the organisation in a format of `FORMATS`, all of it as of one moment.

    Raises Unavailable, NotNow where the disk is full, OSError of the output.
    """
    meter.note("export", None)
    digesting = _Digesting(output)
    writer = FORMATS[form](digesting)
    writer.header(_document(organisation), _row(organisation))
    async with (
        deployment.database.connection() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        # A slow reader of a pipe must not end the transaction.
        await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        counts = await write_resources(connection, organisation.id, writer, meter)
    manifest = Manifest(counts.users, counts.groups, counts.memberships, digesting.sha256())
    writer.trailer(
        manifest.to_json(),
        {"id": manifest.sha256, "groups": manifest.groups, "members": manifest.users},
    )
    return manifest


class _Digesting:
    """Passes text on and keeps the SHA-256 of its UTF-8."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._digest = hashlib.sha256()

    def write(self, text: str) -> int:
        self._digest.update(text.encode())
        return self._output.write(text)

    def sha256(self) -> str:
        return self._digest.hexdigest()


def _document(organisation: Organisation) -> Json:
    return {
        "id": organisation.id,
        "created": format_time(organisation.created),
        "exported": format_time(clock.now()),
        "settings": organisations.settings_of(organisation),
    }


def _row(organisation: Organisation) -> Json:
    """The organisation's row; of the settings only those that have a column."""
    return {
        "id": organisation.id,
        "displayName": organisation.name,
        "active": str(organisation.scim_enabled).lower(),
        "created": format_time(organisation.created),
    }
