"""A database that refuses some data, and the commands that mend it. No test in here."""

import asyncio
import json
from typing import Any

import asyncpg
from typer.testing import CliRunner

from rollcall_operator.cli import app
from tests.support.stack import Stack

POISON_TITLE = "Poison"
REFUSE_TITLE = f"""
CREATE FUNCTION directory.refuse_title() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF new.document ->> 'title' = '{POISON_TITLE}' THEN
        RAISE EXCEPTION 'a secret of ana' USING ERRCODE = 'check_violation';
    END IF;
    RETURN new;
END $$;
CREATE TRIGGER refuse_title BEFORE INSERT OR UPDATE ON directory.member
    FOR EACH ROW EXECUTE FUNCTION directory.refuse_title();
"""
"""For `execute`: no member gets the title `Poison`; the message must not be shown anywhere."""
FIX = "DROP TRIGGER refuse_title ON directory.member"


async def execute(stack: Stack, statement: str) -> None:
    connection = await asyncpg.connect(stack.database_url("owner"))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def rollcall(stack: Stack, *arguments: str) -> Any:
    """What the command prints as JSON; it must end well."""
    environment = {
        "ROLLCALL_KAFKA_BOOTSTRAP": stack.bootstrap,
        "ROLLCALL_TOPIC_PREFIX": stack.prefix,
        "ROLLCALL_DATABASE_URL": stack.database_url("owner"),
    }
    call = (*arguments, "--json", "--data", str(stack.folder))
    done = await asyncio.to_thread(CliRunner().invoke, app, call, env=environment)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)
