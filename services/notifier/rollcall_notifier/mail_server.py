"""One connection to the mail server, reused; and what its answers mean.

- `Unavailable`: no connection can be made. That is the server's trouble, no mail's.
- `Postponed`: this mail was not taken this time: a 4xx, a lost connection, a time-out. Also a 5xx
  to EHLO, to MAIL FROM or to a login: that is our settings' fault, and no recipient's.
- `Refused`: this mail will never be taken: a 5xx to its recipient or to its content.

Reasons name the kind and the code, never the server's text, which quotes addresses.
"""

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from email.errors import MessageError
from email.message import EmailMessage
from typing import Any, Final, Literal

import aiosmtplib

from rollcall.runtime.errors import Unavailable

MAIL_SERVER: Final = "the mail server"
CLOSE_TIMEOUT_S: Final = 2.0
MAILS_PER_CONNECTION: Final = 200
ANSWER_S = 30.0
"""Longest wait for one answer of the mail server. RFC 5321 §4.5.3.2 would allow five minutes; a
mail that is given up earlier is tried again under the same Message-ID."""
_HOST_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,250}[A-Za-z0-9])?")
# 552: too large. 555: a parameter that this mail needs is not known.
_OF_THE_MAIL: Final = frozenset({552, 555})


class Postponed(Exception):
    """Not taken this time; the message is the reason.

    `may_have_left`: the connection broke, perhaps only before the server's yes was read.
    """

    def __init__(self, reason: str, *, may_have_left: bool = False) -> None:
        super().__init__(reason)
        self.may_have_left = may_have_left


class Refused(Exception):
    """Never taken; the message is the reason."""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Where the mail server is and how to speak to it."""

    host: str
    port: int
    tls: Literal["none", "starttls", "tls"]
    username: str
    password: str
    ca_file: str


class LeaseLost(Exception):
    """The mail is not this sender's any more; nothing of it was taken by the server."""


class _Client(aiosmtplib.SMTP):
    """A client that asks once more before it says a message."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.is_ours: Callable[[], bool] = lambda: True

    async def data(self, message: str | bytes, /, **options: Any) -> aiosmtplib.SMTPResponse:
        """As the library's. Raises LeaseLost."""
        if not self.is_ours():
            raise LeaseLost
        return await super().data(message, **options)


class Session:
    """A connection that is made when it is wanted and used by one task at a time."""

    def __init__(self, options: ServerOptions) -> None:
        self._options = options
        self._client: _Client | None = None
        self._sent = 0

    async def ensure(self) -> None:
        """Have a living connection. Raises Unavailable."""
        if self._client is not None and await self._lives(self._client):
            return
        await self.close()
        try:
            client = self._new_client()
            async with asyncio.timeout(4 * ANSWER_S):
                await client.connect()
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise Unavailable(f"{MAIL_SERVER} ({_kind(error)})") from error
        self._client, self._sent = client, 0

    async def send(
        self, message: EmailMessage, *, sender: str, recipient: str, is_ours: Callable[[], bool]
    ) -> None:
        """Hand over one mail for one recipient; it returns after the server's yes.

        `is_ours` is asked once more before the message itself is said, after which there is no
        way back. Raises Postponed, Refused, LeaseLost. After `ensure` only.
        """
        client = self._client
        if client is None:
            raise Postponed("no_connection")
        is_open = False
        try:
            async with asyncio.timeout(5 * ANSWER_S):
                client.is_ours = is_ours
                await client.send_message(message, sender=sender, recipients=[recipient])
            is_open = True
        except aiosmtplib.SMTPRecipientsRefused as error:
            is_open = True
            raise _by_code(error.recipients[0].code, "recipient") from error
        except aiosmtplib.SMTPSenderRefused as error:
            if error.code in _OF_THE_MAIL:
                raise Refused(f"smtp_sender_{error.code}") from error
            raise Postponed(f"smtp_sender_{error.code}") from error
        except aiosmtplib.SMTPHeloError as error:
            # It does not like this client, whatever the mail.
            raise Postponed(f"smtp_helo_{error.code}") from error
        except aiosmtplib.SMTPResponseException as error:
            is_open = True
            raise _by_code(error.code, "data") from error
        except aiosmtplib.SMTPNotSupported as error:
            raise Refused("smtp_utf8_not_supported") from error
        except (aiosmtplib.SMTPException, OSError) as error:
            raise Postponed(f"connection_{_kind(error)}", may_have_left=True) from error
        except (MessageError, ValueError, LookupError) as error:
            # The message does not turn into bytes; nothing of it was said to the server.
            is_open = True
            raise Refused(f"cannot_write_{_kind(error)}") from error
        finally:
            self._sent += 1
            if not is_open:
                self._drop()

    async def close(self) -> None:
        """Say goodbye, briefly, and close."""
        client = self._client
        if client is None:
            return
        if client.is_connected:
            with contextlib.suppress(aiosmtplib.SMTPException, OSError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await client.quit()
        self._drop()

    def _drop(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    async def _lives(self, client: aiosmtplib.SMTP) -> bool:
        """Whether the connection can take another mail: a server may close it at any time."""
        if not client.is_connected or self._sent >= MAILS_PER_CONNECTION:
            return False
        if self._sent == 0:
            return True
        try:
            await client.noop()
        except (aiosmtplib.SMTPException, OSError):
            return False
        return True

    def _new_client(self) -> _Client:
        options = self._options
        context: ssl.SSLContext | None = None
        if options.tls != "none":
            context = ssl.create_default_context(cafile=options.ca_file or None)
        return _Client(
            hostname=options.host,
            port=options.port,
            username=options.username or None,
            password=options.password or None,
            local_hostname=_own_name(),
            timeout=ANSWER_S,
            use_tls=options.tls == "tls",
            start_tls=options.tls == "starttls",
            tls_context=context,
        )


def _by_code(code: int, stage: str) -> Postponed | Refused:
    reason = f"smtp_{stage}_{code}"
    return Refused(reason) if 500 <= code < 600 else Postponed(reason)


def _kind(error: BaseException) -> str:
    name = type(error).__name__
    return name if name == "SMTPException" else name.removeprefix("SMTP")


def _own_name() -> str:
    """Our name in EHLO: the host's, without asking any name server."""
    name = socket.gethostname()
    return name if _HOST_NAME.fullmatch(name) else "localhost"
