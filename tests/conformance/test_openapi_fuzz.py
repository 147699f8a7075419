"""A running server keeps to our OpenAPI document, whatever a fuzzer makes of it."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.fuzz import MODES, Target, operations, served
from tests.support.databases import TestDatabase
from tests.support.servers import KafkaServer

FEW = 20
MANY = 1500
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def target(
    tmp_path_factory: pytest.TempPathFactory,
    kafka_server: KafkaServer,
    module_database: TestDatabase,
) -> Iterator[Target]:
    folder: Path = tmp_path_factory.mktemp("fuzz")
    prefix = f"t{uuid.uuid4().hex[:12]}"
    with served(folder, kafka_server.bootstrap, prefix, module_database.url) as made:
        yield made


@pytest.mark.parametrize("label", sorted(operations()))
def test_what_keeps_to_the_document_and_what_breaks_it_is_answered_as_described(
    label: str, target: Target
) -> None:
    for mode in MODES:
        target.fuzz(label, mode, FEW, is_repeatable=True)

    assert target.cases[label, "kept"] > 0
    assert target.cases[label, "kept"] + target.cases[label, "broken"] >= FEW or "{" not in label


def test_the_fuzzer_has_sent_what_it_was_asked_for(target: Target) -> None:
    """Or a document that it cannot read would look like a server without faults."""
    if len(target.cases) < len(operations()):
        for label in operations():
            for mode in MODES:
                target.fuzz(label, mode, FEW, is_repeatable=True)

    assert {label for label, _ in target.cases} == set(operations())
    assert sum(target.cases.values()) >= 400, target.cases
    assert {200, 201, 204, 400, 404} <= set(target.statuses), target.statuses


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("label", sorted(operations()))
def test_many_more_cases_are_answered_as_described(label: str, target: Target) -> None:
    for mode in MODES:
        target.fuzz(label, mode, MANY, is_repeatable=False)

    assert target.cases[label, "kept"] > 0
