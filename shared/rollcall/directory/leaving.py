"""The end of an organisation: all that the directory has of it goes, in one decision.

What comes behind it in the log is dropped before it is decided (the provisioner's `drop_departed`),
so that whatever was accepted too late, copied or replayed brings nothing back.
"""

from datetime import datetime

from rollcall.directory.changes import Decision, RemoveOrganisation, Verdict
from rollcall.directory.facts import about
from rollcall.directory.state import State
from rollcall.events.request import Request


def delete(state: State, request: Request, at: datetime) -> Decision:
    """Remove the organisation. Always decided: one without a single member leaves as well."""
    return Decision(
        changes=(RemoveOrganisation(request.id, request.time),),
        outcomes=(about(request, "organisation.deleted"),),
        verdict=Verdict(204),
    )
