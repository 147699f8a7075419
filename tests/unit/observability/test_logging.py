"""Logs: JSON lines with context, and never a value that an exception quotes."""

import json
import logging as standard
from collections.abc import Iterator
from typing import Any, Literal

import pytest
import structlog

from rollcall.observability import logging


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = standard.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def fail(secret: str) -> None:
    try:
        try:
            raise KeyError(secret)
        except KeyError as cause:
            raise ExceptionGroup(secret, [ValueError(secret)]) from cause
    except ExceptionGroup as error:
        error.add_note(secret)
        raise


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_has_classes_and_frames_and_no_value(
    log_format: Literal["json", "console"], capsys: pytest.CaptureFixture[str]
) -> None:
    logging.configure("ingress", level="info", log_format=log_format)

    try:
        fail("ana@example.org")
    except ExceptionGroup:
        logging.get_logger().error("task.failed", exc_info=True)
        standard.getLogger("a.library").error("oh", exc_info=True)

    printed = capsys.readouterr().out
    assert "ExceptionGroup" in printed
    assert "KeyError" in printed
    assert "test_logging.py" in printed
    assert "ana@example.org" not in printed


def test_a_line_names_its_service_and_carries_bound_context(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logging.configure("provisioner", level="info", log_format="json")

    logging.get_logger().bind(partition=3).info("batch.applied", events=5)

    [line] = lines(capsys)
    assert line["event"] == "batch.applied"
    assert (line["service"], line["partition"], line["events"]) == ("provisioner", 3, 5)


def test_what_is_below_the_level_is_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    logging.configure("notifier", level="warning", log_format="json")

    logging.get_logger().info("mail.sent")
    logging.get_logger().warning("mail.postponed")

    assert [line["event"] for line in lines(capsys)] == ["mail.postponed"]


def test_a_library_says_the_same_thing_once_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    logging.configure("ingress", level="info", log_format="json")
    library = standard.getLogger("a.chatty.library")

    for node in range(100):
        library.warning("Unable to connect to node %s", node)
    library.warning("Something else")

    assert [line["event"] for line in lines(capsys)] == [
        "Unable to connect to node 0",
        "Something else",
    ]
