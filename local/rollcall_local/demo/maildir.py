"""The mails that arrived since the demo began: who got what, by Message-ID."""

from collections import Counter
from dataclasses import dataclass, field
from email.parser import BytesHeaderParser
from pathlib import Path

from rollcall_local.stack import owned


@dataclass(slots=True)
class Maildir:
    """Reads each new file once. `deliveries` counts (Message-ID, recipient)."""

    folder: Path
    deliveries: Counter[tuple[str, str]] = field(default_factory=Counter)
    _seen: set[str] = field(default_factory=set)

    def skip_present(self) -> None:
        """Leave out what is there now: mails of earlier runs."""
        self._seen.update(path.name for path in self._files())

    def scan(self) -> None:
        """Read the files that are new. Blocks for a moment; call it in a thread."""
        parser = BytesHeaderParser()
        for path in self._files():
            if path.name in self._seen:
                continue
            headers = parser.parsebytes(owned.read_bytes(path))
            self._seen.add(path.name)
            message_id = normal_id(headers["Message-ID"])
            for recipient in headers.get_all("X-RcptTo", []):
                self.deliveries[message_id, str(recipient).strip().lower()] += 1

    def copies(self) -> Counter[str]:
        """How many times each mail arrived, by its Message-ID."""
        found: Counter[str] = Counter()
        for (message_id, _), count in self.deliveries.items():
            found[message_id] += count
        return found

    def _files(self) -> list[Path]:
        return [path for name in ("new", "cur") for path in owned.listed(self.folder / name)]


def normal_id(message_id: str | None) -> str:
    """A Message-ID without its angle brackets, empty for none."""
    return str(message_id or "").strip().strip("<>")
