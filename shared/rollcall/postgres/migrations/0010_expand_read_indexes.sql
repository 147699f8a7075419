-- Indexes of what lists are filtered and sorted by; each may be built again.
-- transaction: none

-- By code point, so that `sw` is a range and the order is that of the Unicode code points
-- whatever the database's locale is.
DROP INDEX CONCURRENTLY IF EXISTS directory.member_by_user_name;
CREATE INDEX CONCURRENTLY member_by_user_name
    ON directory.member (organisation_id, user_name_key COLLATE "C", id);
DROP INDEX CONCURRENTLY IF EXISTS directory.member_by_external_id;
CREATE INDEX CONCURRENTLY member_by_external_id
    ON directory.member (organisation_id, external_id COLLATE "C", id);
DROP INDEX CONCURRENTLY IF EXISTS directory.member_by_created;
CREATE INDEX CONCURRENTLY member_by_created ON directory.member (organisation_id, created, id);
DROP INDEX CONCURRENTLY IF EXISTS directory.member_by_last_modified;
CREATE INDEX CONCURRENTLY member_by_last_modified
    ON directory.member (organisation_id, last_modified, id);
DROP INDEX CONCURRENTLY IF EXISTS directory.member_by_active;
CREATE INDEX CONCURRENTLY member_by_active
    ON directory.member (organisation_id, (document -> 'active'), id);

DROP INDEX CONCURRENTLY IF EXISTS directory.group_by_external_id;
CREATE INDEX CONCURRENTLY group_by_external_id
    ON directory."group" (organisation_id, external_id COLLATE "C", id);
DROP INDEX CONCURRENTLY IF EXISTS directory.group_by_created;
CREATE INDEX CONCURRENTLY group_by_created ON directory."group" (organisation_id, created, id);
DROP INDEX CONCURRENTLY IF EXISTS directory.group_by_last_modified;
CREATE INDEX CONCURRENTLY group_by_last_modified
    ON directory."group" (organisation_id, last_modified, id);
