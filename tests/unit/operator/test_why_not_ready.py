"""What the tests of a cluster say of a pod that does not get ready."""

from typing import Any

import pytest

from tests.support.deploy.kubernetes import is_ready, wait, why_not_ready

LOOP = {
    "status": {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "False"}],
        "containerStatuses": [
            {
                "name": "kafka",
                "ready": False,
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
                "lastState": {"terminated": {"exitCode": 1}},
            }
        ],
    }
}
INIT = {
    "status": {
        "phase": "Pending",
        "initContainerStatuses": [{"name": "schema", "ready": False, "state": {"running": {}}}],
        "containerStatuses": [
            {"name": "ingress", "state": {"waiting": {"reason": "PodInitializing"}}}
        ],
    }
}
NOWHERE = {
    "status": {
        "phase": "Pending",
        "conditions": [
            {"type": "PodScheduled", "status": "False", "message": "0/1 nodes: Insufficient cpu"}
        ],
    }
}


@pytest.mark.parametrize(
    ("pod", "why"),
    [
        (LOOP, "kafka waits: CrashLoopBackOff back-off 40s; kafka ended with 1"),
        (INIT, "schema runs and is not ready; ingress waits: PodInitializing"),
        (NOWHERE, "not scheduled: 0/1 nodes: Insufficient cpu"),
        ({"status": {"phase": "Unknown"}}, "Unknown"),
    ],
)
def test_the_container_that_is_in_the_way_is_named(pod: dict[str, Any], why: str) -> None:
    assert why_not_ready(pod) == why
    assert not is_ready(pod)


class Cluster:
    """One pod that never gets ready."""

    def unready(self) -> dict[str, str]:
        return {"kafka-0": why_not_ready(LOOP)}

    def trouble(self) -> str:
        return "kafka-0: …\n  AccessDeniedException: /opt/kafka/libs"


def test_a_wait_says_what_it_waits_for_and_in_the_end_what_was_logged(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.support.deploy.kubernetes.SAY_EVERY_S", 0.0)

    with pytest.raises(AssertionError, match="AccessDeniedException"):
        wait(lambda: False, "every pod is ready", 0.1, Cluster())  # type: ignore[arg-type]

    assert "kafka-0: kafka waits: CrashLoopBackOff" in capsys.readouterr().out
