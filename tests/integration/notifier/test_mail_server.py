"""What a mail server's answers mean, by a server that says what the test wants."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.message import EmailMessage

import pytest

from rollcall_notifier.mail_server import LeaseLost, Postponed, ServerOptions, Session


@asynccontextmanager
async def a_server(**answers: bytes) -> AsyncIterator[Session]:
    """A session with a server that answers `250 ok` to every command not named here."""

    serving: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        while line := await reader.readline():
            writer.write(answers.get(line[:4].decode().lower().strip(), b"250 ok") + b"\r\n")
        writer.close()
        await writer.wait_closed()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    session = Session(ServerOptions("127.0.0.1", port, "none", "", "", ""))
    try:
        yield session
    finally:
        await session.close()
        server.close()
        await asyncio.gather(*serving)


async def send(session: Session, is_ours: Callable[[], bool] = lambda: True) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@example.org", "b@example.org", "Hi"
    message.set_content("Hi")
    await session.ensure()
    await session.send(message, sender="a@example.org", recipient="b@example.org", is_ours=is_ours)


@pytest.mark.parametrize("code", [b"421", b"550", b"554"])
async def test_a_server_that_does_not_like_our_name_refuses_no_mail_for_good(code: bytes) -> None:
    refusal = code + b" who are you"

    async with a_server(ehlo=refusal, helo=refusal) as session:
        with pytest.raises(Postponed, match=f"smtp_helo_{code.decode()}"):
            await send(session)


async def test_a_sender_refused_is_no_fault_of_the_recipient() -> None:
    async with a_server(mail=b"550 not you") as session:
        with pytest.raises(Postponed, match="smtp_sender_550"):
            await send(session)


async def test_what_is_not_ours_any_more_is_not_said_to_the_server() -> None:
    """The process slept between its last look and the message itself."""
    async with a_server(data=b"354 go on") as session:
        with pytest.raises(LeaseLost):
            await send(session, lambda: False)
        await session.ensure()
