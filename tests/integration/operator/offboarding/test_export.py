"""`org export`: every user and group, and no key."""

import csv
import hashlib
import json
import os
import re
import stat
from dataclasses import replace
from pathlib import Path

from rollcall.control.export import COLUMNS
from tests.integration.operator.offboarding.organisations import (
    KEY,
    rollcall,
    rollcall_json,
    write_records,
)
from tests.integration.operator.rebuilding import (
    apply_all,
    history,
    without_room,
)
from tests.support.builders import (
    OTHER_ORGANISATION,
    a_group,
    a_request,
    an_id,
    create,
    regroup,
)
from tests.support.deployment import Deployment


async def exported(deployment: Deployment) -> None:
    await write_records(deployment)
    await deployment.start()
    await apply_all(
        deployment,
        [
            replace(
                create(
                    1,
                    "ana@example.org",
                    displayName="=HYPERLINK(1)",
                    title="+1",
                    **{
                        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {
                            "department": "Deck",
                            "employeeNumber": "-7",
                        }
                    },
                ),
                accept_by_ms=None,
            ),
            create(2, "ben@example.org"),
            a_request("group.create", an_id(50), number=950, resource={"displayName": "Sailors"}),
            replace(regroup(a_group(50), add=(an_id(1), an_id(2))), id=an_id(951)),
            replace(
                create(3, "eve@example.org"), organisation_id=OTHER_ORGANISATION, id=an_id(952)
            ),
        ],
    )


async def test_an_export_has_every_user_and_group_its_manifest_and_no_key(
    deployment: Deployment, tmp_path: Path
) -> None:
    await exported(deployment)
    file = tmp_path / "zeeburg.jsonl"

    done = await rollcall_json(deployment, "org", "export", "Zeeburg", "--to", str(file))

    raw = file.read_bytes()
    *lines, manifest = [json.loads(line) for line in raw.splitlines()]
    before = raw[: raw.rindex(b"\n", 0, -1) + 1]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [line["type"] for line in lines] == ["organisation", "user", "user", "group"]
    assert lines[0]["settings"]["name"] == "Zeeburg"
    assert lines[1]["groups"] == [{"value": an_id(50), "display": "Sailors"}]
    enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
    assert lines[1]["resource"][enterprise]["department"] == "Deck"
    assert [each["value"] for each in lines[3]["members"]] == [an_id(1), an_id(2)]
    assert manifest == {
        "type": "manifest",
        "users": 2,
        "groups": 1,
        "memberships": 2,
        "sha256": hashlib.sha256(before).hexdigest(),
    }
    assert done["sha256"] == manifest["sha256"]
    assert "1" * 64 not in raw.decode()
    assert KEY not in raw.decode()
    assert "eve@example.org" not in raw.decode()
    again = await rollcall(deployment, "org", "export", "Zeeburg", "--to", str(file))
    assert again.returncode == 2
    assert "exists already" in again.stderr


async def test_a_disk_that_is_full_is_not_called_an_outage_of_postgres(
    deployment: Deployment, tmp_path: Path
) -> None:
    await write_records(deployment)
    await deployment.start()
    await apply_all(deployment, history(53, 200))  # more than a buffer
    file = tmp_path / "zeeburg.jsonl"

    done = await without_room(deployment, "org", "export", "Zeeburg", "--to", str(file))

    assert done == (3, "rollcall: it cannot be written: File too large\n")
    assert os.listdir(tmp_path) == []  # noqa: PTH208


async def test_no_cell_of_an_exported_table_is_a_formula(
    deployment: Deployment, tmp_path: Path
) -> None:
    await exported(deployment)
    file = tmp_path / "zeeburg.csv"

    await rollcall_json(
        deployment, "org", "export", "Zeeburg", "--to", str(file), "--format", "csv"
    )

    text = file.read_bytes().decode()
    rows = list(csv.DictReader(text.splitlines()))
    assert tuple(rows[0]) == COLUMNS
    assert [row["type"] for row in rows] == [
        *("organisation", "user", "user", "group", "membership", "membership", "manifest")
    ]
    assert rows[1]["displayName"] == "'=HYPERLINK(1)"
    assert rows[1]["title"] == "'+1"
    assert rows[1]["employeeNumber"] == "'-7"
    assert not [cell for row in rows for cell in row.values() if re.match(r"[=+\-@\t\r]", cell)]
    before = text[: text.rindex("\r\n", 0, -2) + 2]
    assert rows[-1]["id"] == hashlib.sha256(before.encode()).hexdigest()


# Erasure
