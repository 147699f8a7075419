"""Every fact of an outcome is a sentence, in both languages."""

from datetime import UTC, datetime
from typing import Any

import pytest

from rollcall.events.outcome import FACTS
from rollcall.postgres.console.console_reads import Happening
from rollcall_console.happenings import line_of
from rollcall_console.web.words import LANGUAGES, Words

ENGLISH = Words("en")


def happened(
    fact: str,
    *,
    kind: str = "member.patch",
    status: int = 200,
    name: str | None = "Anna de Wit",
    **detail: Any,
) -> Happening:
    return Happening(
        id="01a22e88-6651-77cc-802a-34181f6f6073",
        type=f"io.rollcall.request.{kind}.v1",
        resource_id="01a22e88-6651-77cc-802a-34181f6f6074",
        actor="key:abc",
        at=datetime(2026, 12, 1, tzinfo=UTC),
        status=status,
        scim_type=None,
        outcomes=[{"fact": fact, "data": {"detail": detail}}],
        name=name,
    )


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("fact", sorted(FACTS - {"organisation.deleted"}))
def test_every_fact_has_a_sentence_of_its_own(fact: str, language: Any) -> None:
    words = Words(language)
    line = line_of(happened(fact, status=409 if fact == "request.rejected" else 200), words)

    assert "Anna de Wit" in line.sentence
    assert line.sentence != words("fact.nothing", name="Anna de Wit")


def test_a_create_is_a_join_and_a_new_address_an_invitation() -> None:
    created = line_of(happened("member.invited", kind="member.create"), ENGLISH)
    changed = line_of(happened("member.invited", kind="member.patch"), ENGLISH)

    assert (created.sentence, created.tone) == ("Anna de Wit joined", "good")
    assert changed.sentence == "Anna de Wit gets a new invitation"


@pytest.mark.parametrize(
    ("kind", "status", "detail", "sentence", "reason"),
    [
        (
            "member.create",
            409,
            {"attribute": "userName"},
            "Somebody was not added",
            "The user name is already used by another member.",
        ),
        (
            "group.create",
            409,
            {"attribute": "displayName"},
            "A group was not added",
            "The name is already used by another group.",
        ),
        ("member.patch", 409, {"attribute": "nick"}, None, "Another one has the same nick."),
        ("member.patch", 404, {}, None, "It does not exist, or was removed before."),
        ("group.patch", 412, {}, None, "Another request changed it first."),
        ("member.patch", 400, {}, None, "The request was wrong when it was applied."),
        ("member.patch", 507, {}, None, "Refused with status 507."),
    ],
)
def test_a_refusal_has_a_reason(
    kind: str, status: int, detail: dict[str, Any], sentence: str | None, reason: str
) -> None:
    name = None if kind.endswith("create") else "Anna de Wit"
    found = line_of(
        happened("request.rejected", kind=kind, status=status, name=name, **detail), ENGLISH
    )

    assert found.sentence == (sentence or "Anna de Wit was not changed")
    assert (found.detail, found.tone) == (reason, "refused")


def test_what_changed_is_named() -> None:
    happening = happened("member.changed")
    happening.outcomes[0]["data"]["attributes"] = ["title", "emails"]

    assert line_of(happening, ENGLISH).detail == "Changed: title, emails."


def test_somebody_who_is_gone_has_no_name() -> None:
    line = line_of(happened("member.removed", name=None), ENGLISH)

    assert (line.sentence, line.is_there) == ("Somebody was removed", False)
