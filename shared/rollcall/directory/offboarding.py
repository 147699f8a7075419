"""Offboarding: one decision removes everything that the directory holds of an organisation.

Later requests of the organisation are dropped before they are decided (`drop_departed` in
rollcall/applying/foreign.py), so an event that was accepted too late, copied or replayed restores
nothing.
"""

from rollcall.directory.changes import Decision, RemoveOrganisation, Verdict
from rollcall.directory.facts import about
from rollcall.events.request import Request


def delete(request: Request) -> Decision:
    """Remove the organisation. Also decided for an organisation without a member."""
    return Decision(
        changes=(RemoveOrganisation(request.id, request.time),),
        outcomes=(about(request, "organisation.deleted"),),
        verdict=Verdict(204),
    )
