"""`stack.json`: where the parts of a running stack are. Scripts rely on its names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rollcall_local.stack.errors import StackError
from rollcall_local.stack.folder import Folder, read_json, write_json


@dataclass(frozen=True, slots=True)
class StackFile:
    """The content of `stack.json`.

    `scim_url` is the root of the (first) door, `scim_urls` that of each, `console_url` that of the
    (first) console; `smtp` is `host:port`; `mailbox` a Maildir; `database_url` is the owner's.
    `pids` are those of the processes that do the work, rewritten at each restart: one list for
    each service, `kafka`, `postgres` and `supervisor` (empty for a Kafka that is not ours).
    `logs` maps a service to its file, `metrics` to the URLs of its replicas.
    """

    scim_url: str
    scim_urls: Sequence[str]
    kafka_bootstrap: str
    kafka_kind: str
    database_url: str
    smtp: str
    mailbox: str
    pids: Mapping[str, Sequence[int]]
    logs: Mapping[str, str]
    metrics: Mapping[str, Sequence[str]]
    console_url: str = ""

    @classmethod
    def load(cls, data: Path) -> StackFile:
        """Read the file of the stack that runs in `data`. Raises StackError when none does."""
        found = read_json(Folder.at(data).stack_file)
        if not found:
            raise StackError(
                f"no stack runs in {data.resolve()}: start one with `rollcall up`, "
                "or name its folder with --data",
                exit_code=2,
            )
        found.setdefault("scim_urls", [found["scim_url"]])  # a stack that an older release started
        return cls(**{name: found[name] for name in cls.__dataclass_fields__ if name in found})

    def save(self, folder: Folder) -> None:
        """Replace the file in one step. It holds a password, so only its owner may read it."""
        write_json(folder.stack_file, asdict(self), folder.uid)
