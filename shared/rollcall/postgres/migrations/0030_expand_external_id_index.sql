-- Who holds an external id: found by these while the release before this one still runs, once the
-- unique constraints, which it looks up by, are gone (0031). This release uses
-- `member_by_external_id` and `group_by_external_id` instead.
-- transaction: none

DROP INDEX CONCURRENTLY IF EXISTS directory.member_holding_external_id;
CREATE INDEX CONCURRENTLY member_holding_external_id
    ON directory.member (organisation_id, external_id);
DROP INDEX CONCURRENTLY IF EXISTS directory.group_holding_external_id;
CREATE INDEX CONCURRENTLY group_holding_external_id
    ON directory."group" (organisation_id, external_id);
