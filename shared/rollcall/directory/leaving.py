"""Offboarding: one decision removes everything that the directory holds of an organisation.

Later requests of the organisation are dropped before they are decided (`drop_departed` in
rollcall/applying/foreign.py), so an event that was accepted too late, copied or replayed restores
nothing.
"""

from datetime import datetime

from rollcall.directory.changes import Decision, RemoveOrganisation, Verdict
from rollcall.directory.facts import about
from rollcall.directory.state import State
from rollcall.events.request import Request


def delete(state: State, request: Request, at: datetime) -> Decision:
    """Remove the organisation, even if it has no members. Never refused."""
    return Decision(
        changes=(RemoveOrganisation(request.id, request.time),),
        outcomes=(about(request, "organisation.deleted"),),
        verdict=Verdict(204),
    )
