"""A database that refuses one title, and what it made of the letters. No test in here."""

from tests.support.deployment import Deployment

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


async def execute(deployment: Deployment, statement: str) -> None:
    async with deployment.database.connect() as connection:
        await connection.execute(statement)


async def letters(deployment: Deployment) -> list[tuple[str, str, str, int]]:
    rows = await deployment.rows(
        'SELECT event_id, error_class, state, attempts FROM directory.dead_letter ORDER BY "offset"'
    )
    return [tuple(row) for row in rows]
