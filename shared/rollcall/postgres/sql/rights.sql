-- name: server_facts
-- Version, whether this is a standby, and the server's clock.
-- roles: ingress, provisioner, notifier, owner
SELECT current_setting('server_version_num')::int AS version,
       pg_is_in_recovery() AS is_standby,
       clock_timestamp() AS clock

-- name: granted_rights
-- Every right on a schema, a table or its columns that a role other than its owner has.
-- $1 names of our schemas
-- roles: ingress, provisioner, notifier, owner
SELECT role, thing, privilege, array_agg(column_name ORDER BY column_name)
       FILTER (WHERE column_name IS NOT NULL) AS columns
FROM (
    SELECT entry.grantee, 'schema ' || space.nspname AS thing, entry.privilege_type AS privilege,
           NULL::text AS column_name, space.nspowner AS owner
    FROM pg_catalog.pg_namespace AS space
    CROSS JOIN LATERAL pg_catalog.aclexplode(space.nspacl) AS entry
    WHERE space.nspname = ANY ($1::text[])
    UNION ALL
    SELECT entry.grantee, space.nspname || '.' || held.relname, entry.privilege_type, NULL,
           held.relowner
    FROM pg_catalog.pg_class AS held
    JOIN pg_catalog.pg_namespace AS space ON space.oid = held.relnamespace
    CROSS JOIN LATERAL pg_catalog.aclexplode(held.relacl) AS entry
    WHERE space.nspname = ANY ($1::text[])
    UNION ALL
    SELECT entry.grantee, space.nspname || '.' || held.relname, entry.privilege_type,
           part.attname::text, held.relowner
    FROM pg_catalog.pg_attribute AS part
    JOIN pg_catalog.pg_class AS held ON held.oid = part.attrelid
    JOIN pg_catalog.pg_namespace AS space ON space.oid = held.relnamespace
    CROSS JOIN LATERAL pg_catalog.aclexplode(part.attacl) AS entry
    WHERE space.nspname = ANY ($1::text[])
) AS found
CROSS JOIN LATERAL (
    SELECT CASE found.grantee WHEN 0 THEN 'public' ELSE found.grantee::regrole::text END AS role
) AS named
WHERE found.grantee <> found.owner
GROUP BY role, thing, privilege, column_name IS NULL
ORDER BY role, thing, privilege

-- name: public_on_databases
-- What every role may do with these databases by Postgres's defaults.
-- $1 databases
-- roles: ingress, provisioner, notifier, owner
SELECT base.datname::text AS name,
       string_agg(entry.privilege_type, ', ' ORDER BY entry.privilege_type) AS privileges
FROM pg_catalog.pg_database AS base
CROSS JOIN LATERAL pg_catalog.aclexplode(
    coalesce(base.datacl, pg_catalog.acldefault('d', base.datdba))
) AS entry
WHERE base.datname = ANY ($1::text[]) AND base.datallowconn AND entry.grantee = 0
GROUP BY base.datname
ORDER BY base.datname

-- name: public_on_large_objects
-- The functions of large objects that every role may call, each with the statement (for a
-- superuser) that revokes it.
-- roles: ingress, provisioner, notifier, owner
SELECT pg_catalog.format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', function.oid::regprocedure)
FROM pg_catalog.pg_proc AS function
CROSS JOIN LATERAL pg_catalog.aclexplode(
    coalesce(function.proacl, pg_catalog.acldefault('f', function.proowner))
) AS entry
WHERE function.pronamespace = 'pg_catalog'::regnamespace
  AND (function.proname LIKE 'lo\_%' OR function.proname IN ('loread', 'lowrite'))
  AND entry.grantee = 0

-- name: newest_append_time
-- The broker's time at the last applied record; null if there is none.
-- roles: ingress, provisioner, notifier, owner
SELECT max(last_append_time) FROM directory.progress
