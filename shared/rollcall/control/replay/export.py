"""An organisation as it was, written out of the scratch schema that `as_of` has folded it into.

JSON lines begin with the organisation and the moment. Members that were erased since are left out.
"""

from typing import Any

from rollcall.control.deployment import Deployment
from rollcall.control.export import FORMATS, Counts, Output, write_resources
from rollcall.control.meter import Meter
from rollcall.control.replay.as_of import AS_OF, Plan
from rollcall.postgres.upkeep.scratch import InScratch


async def export(
    deployment: Deployment, planned: Plan, form: str, output: Output, meter: Meter
) -> Counts:
    """Write the folded organisation in a format of `FORMATS`.

    Raises Unavailable, NotNow where the disk is full, OSError of the output.
    """
    meter.note("write", None)
    writer = FORMATS[form](output)
    writer.header(planned.to_json(), None)
    async with deployment.database.transaction() as connection:
        scratch: Any = InScratch(connection, AS_OF)
        return await write_resources(
            scratch, planned.organisation.id, writer, meter, without=planned.erased
        )
