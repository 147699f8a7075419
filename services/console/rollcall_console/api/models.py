"""Bodies of the admin API: requests are read by them, and the OpenAPI document is written."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from rollcall.control.organisations import MAX_NAME
from rollcall.tenancy.limits import MAX_NETWORKS
from rollcall.tenancy.organisation import LEAST_RATE, MOST_BURST, MOST_RATE

Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
Rate = Annotated[int, Field(ge=LEAST_RATE, le=MOST_RATE)]
Burst = Annotated[int, Field(ge=1, le=MOST_BURST)]
Language = Literal["en", "nl"]
Profile = Literal["compatible", "interop"]
KeyScope = Literal["users:read", "users:write", "groups:read", "groups:write"]
Networks = Annotated[list[str], Field(max_length=MAX_NETWORKS)]
Status = Literal["invited", "accepted", "confirmed", "revoked"]


class Model(BaseModel):
    """What all have in common: no names beside, no text that is taken for a number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Organisation(Model):
    """An organisation and its rules."""

    id: str
    name: str
    created: datetime
    scim_url: str
    scim_enabled: bool
    profile: Profile
    language: Language
    unique_group_names: bool
    unique_external_ids: bool
    confirm_on_accept: bool
    rate: int | None
    burst: int | None


class NewOrganisation(Model):
    """An organisation to be made."""

    name: Name
    language: Language = "en"


class MadeOrganisation(Model):
    """An organisation and its first key, which is shown this once."""

    organisation: Organisation
    api_key: str


class OrganisationChange(Model):
    """What is to be changed; what is left out stays. `null` takes a rate or a burst away."""

    name: Name | None = None
    language: Language | None = None
    profile: Profile | None = None
    scim_enabled: bool | None = None
    unique_group_names: bool | None = None
    unique_external_ids: bool | None = None
    confirm_on_accept: bool | None = None
    rate: Rate | None = None
    burst: Burst | None = None


class Key(Model):
    """A SCIM key without its secret."""

    public_id: str
    name: str
    created: datetime
    expires: datetime | None
    revoked: datetime | None
    last_used: datetime | None
    networks: list[str]
    scopes: list[str]


class NewKey(Model):
    """A SCIM key to be made."""

    name: Name
    expires: datetime | None = None
    networks: Networks = []
    scopes: list[KeyScope] = []


class MadeKey(Model):
    """A SCIM key; its text is shown this once."""

    key: Key
    api_key: str


class KeyLimits(Model):
    """Where a key may be used from and what it may do; empty: anywhere, everything."""

    networks: Networks
    scopes: list[KeyScope]


class KeyReplacement(Model):
    """For how long the old key goes on working beside the new one."""

    overlap_hours: Annotated[int, Field(ge=0, le=720)] = 24


class Member(Model):
    """A member. `attributes` are as the identity provider sent them."""

    id: str
    user_name: str
    name: str
    status: str
    external_id: str | None
    created: datetime
    last_modified: datetime
    attributes: dict[str, object]


class Act(Model):
    """What became of an act: `pending` is accepted, and applied later."""

    request_id: str
    state: Literal["done", "pending", "refused"]


class Refused(Model):
    """A request that was answered with success, and refused when it was applied."""

    id: str
    endpoint: str
    resource_id: str
    status: int
    scim_type: str | None
    attribute: str | None
    accepted: datetime
    recorded: datetime
    advice: str


class DeadLetter(Model):
    """A change that could not be applied, and waits for somebody."""

    id: str
    endpoint: str | None
    resource_id: str | None
    error: str
    recorded: datetime
    attempts: int
    waiting_behind: int


class Closed(Model):
    """What became of a dead letter."""

    result: str


class Organisations(Model):
    """A page; `next` goes on behind it, null: there is no more."""

    items: list[Organisation]
    next: str | None


class Keys(Model):
    """All keys of an organisation, newest first."""

    items: list[Key]


class Members(Model):
    """A page; `next` goes on behind it, null: there is no more."""

    items: list[Member]
    next: str | None


class RefusedPage(Model):
    """The latest refusals, and the dead letters that wait."""

    refused: list[Refused]
    dead_letters: list[DeadLetter]


class Problem(Model):
    """An error (RFC 9457). `code` stays the same from release to release."""

    type: str
    title: str
    status: int
    detail: str
    code: str
