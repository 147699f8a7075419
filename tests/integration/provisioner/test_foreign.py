"""What does not agree with itself is set aside: key, subject, body, and the partition."""

from dataclasses import replace

from rollcall.events.request import to_event
from rollcall.observability import metrics
from rollcall.postgres import tenancy
from rollcall.runtime.clock import now_ms
from rollcall.tenancy.organisation import Organisation
from tests.support.builders import MOMENT, ORGANISATION, OTHER_ORGANISATION, create
from tests.support.deployment import Deployment

ELSEWHERE = "01900000-0000-7000-8000-000000000003"


async def test_foreign_events_of_each_kind_are_set_aside_and_nothing_else(
    deployment: Deployment,
) -> None:
    async with deployment.database.connect("provisioner") as connection:
        here = Organisation(ORGANISATION, "Here", 0, MOMENT)
        elsewhere = Organisation(ELSEWHERE, "Elsewhere", 2, MOMENT)
        await tenancy.fold_records(connection, [here, elsewhere])
    good = replace(create(1, "ana@example.org"), reply_to=0, answer_by_ms=now_ms() + 5000)
    stranger = replace(create(9, "zoe@example.org"), organisation_id=OTHER_ORGANISATION)
    subject = replace(to_event(good), subject=f"{OTHER_ORGANISATION}/Users/{good.resource_id}")
    body = to_event(good)
    body = replace(body, data={**body.data, "organisation_id": OTHER_ORGANISATION})
    misplaced = replace(create(2, "ben@example.org"), organisation_id=ELSEWHERE)
    malformed = replace(create(3, "cleo@example.org"), organisation_id="'; DROP SCHEMA directory")
    counted = metrics.PROVISIONER_FOREIGN._value.get()

    await deployment.send_event(to_event(good), OTHER_ORGANISATION)  # the key
    await deployment.send_event(subject, ORGANISATION)
    await deployment.send_event(body, ORGANISATION)
    await deployment.send(misplaced)
    await deployment.send_event(to_event(malformed), ORGANISATION)  # neither key nor organisation
    await deployment.send(malformed)  # agrees, and is no organisation's id: merely malformed
    await deployment.send(good)  # the true event of an id that foreign ones have used
    last = await deployment.send(stranger)  # of an organisation that is not known here yet
    await deployment.start()
    await deployment.applied(last.offset + 1)

    letters = await deployment.rows(
        "SELECT error_class, error, organisation_id::text FROM directory.dead_letter"
        ' ORDER BY "offset"'
    )
    assert [tuple(row) for row in letters] == [
        ("ForeignEvent", "the key names another organisation than the event", OTHER_ORGANISATION),
        ("ForeignEvent", "the subject names another organisation than the body", ORGANISATION),
        ("ForeignEvent", "the subject names another organisation than the body", ORGANISATION),
        ("ForeignEvent", "the organisation lives in another partition", ELSEWHERE),
        ("ForeignEvent", "the key names another organisation than the event", ORGANISATION),
        ("MalformedEvent", "organisation_id is no UUID in canonical form", None),
    ]
    members = await deployment.rows(
        "SELECT organisation_id::text, id::text FROM directory.member ORDER BY id"
    )
    assert [tuple(row) for row in members] == [
        (ORGANISATION, good.resource_id),
        (OTHER_ORGANISATION, stranger.resource_id),
    ]
    assert metrics.PROVISIONER_FOREIGN._value.get() - counted == 5
    (reply,) = await deployment.replies()
    assert (reply.request_id, reply.status) == (good.id, 201)
    announced = await deployment.outcomes(2)
    assert [each.request_id for each in announced] == [good.id, stranger.id]
    quarantined = await deployment.rows(
        "SELECT 1 FROM directory.dead_letter WHERE resource_id IS NOT NULL"
    )
    assert quarantined == []
