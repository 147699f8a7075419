-- Several may have one external id (docs/decisions/0047). Whether they may is decided by the request,
-- so no constraint can say it. One table after the other: a transaction over both would wait for a
-- batch that holds one of them and waits for the other.
-- transaction: none

ALTER TABLE directory.member DROP CONSTRAINT IF EXISTS member_external_id_unique;
ALTER TABLE directory."group" DROP CONSTRAINT IF EXISTS group_external_id_unique;
