"""A database that refuses one title, and what it made of the letters. No test in here."""

from tests.support.deployment import Deployment


async def execute(deployment: Deployment, statement: str) -> None:
    async with deployment.database.connect() as connection:
        await connection.execute(statement)


async def letters(deployment: Deployment) -> list[tuple[str, str, str, int]]:
    rows = await deployment.rows(
        'SELECT event_id, error_class, state, attempts FROM directory.dead_letter ORDER BY "offset"'
    )
    return [tuple(row) for row in rows]
