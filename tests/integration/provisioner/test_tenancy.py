"""The tenancy topic becomes rows, by one replica of several."""

from dataclasses import replace

from rollcall.kafka.producer import Acknowledged
from rollcall.postgres import tenancy
from rollcall.runtime.ids import new_id
from rollcall.tenancy.organisation import ApiKey, Organisation, Record, record_key, to_event
from tests.support.builders import MOMENT, ORGANISATION
from tests.support.deployment import Deployment
from tests.support.stack import until

ZEEBURG = Organisation(ORGANISATION, "Zeeburg", 0, MOMENT)
KEY = ApiKey("0123456789ab", ORGANISATION, "Entra", "0" * 64, MOMENT)


async def announce(deployment: Deployment, record: Record) -> Acknowledged:
    event = to_event(record, event_id=new_id(), time=MOMENT)
    return await deployment.producer.send(
        deployment.topics.tenancy, partition=0, key=record_key(record), event=event
    )


async def test_organisations_and_keys_are_copied_in_order(deployment: Deployment) -> None:
    revoked = replace(KEY, revoked=MOMENT)
    renamed = replace(ZEEBURG, name="Zeeburg-Oost", rate=50, burst=200)
    for record in (ZEEBURG, KEY, renamed, revoked):
        last = await announce(deployment, record)

    await deployment.start()

    async def is_copied() -> bool:
        query = "SELECT next_offset FROM directory.progress WHERE topic = $1"
        rows = await deployment.rows(query, deployment.topics.tenancy)
        return bool(rows) and bool(rows[0]["next_offset"] == last.offset + 1)

    await until(is_copied, "the topic is copied")
    async with deployment.database.connect() as connection:
        organisation = await tenancy.find_organisation(connection, ORGANISATION)
        (key,) = await tenancy.list_keys(connection, ORGANISATION)
    assert organisation == renamed
    assert key.key == revoked


async def test_one_replica_of_two_copies(deployment: Deployment) -> None:
    first = await deployment.start()
    second = await deployment.start()

    await until(
        lambda: len(first.tenancy.partitions) + len(second.tenancy.partitions) == 1,
        "one of them has the partition",
    )
    await announce(deployment, ZEEBURG)

    async def is_there() -> bool:
        return len(await deployment.rows("SELECT 1 FROM tenancy.organisation")) == 1

    await until(is_there, "the organisation is copied")
