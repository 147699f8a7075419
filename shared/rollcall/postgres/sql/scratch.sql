-- name: list_tables
-- Tables of a schema, with their storage options.
-- $1 schema
-- roles: owner
SELECT relname AS name, reloptions AS options
FROM pg_catalog.pg_class
WHERE relnamespace = to_regnamespace($1) AND relkind = 'r'
ORDER BY relname

-- name: list_columns
-- Columns of the tables of a schema, in order.
-- $1 schema
-- roles: owner
SELECT relation.relname AS table_name, attribute.attname AS column_name
FROM pg_catalog.pg_class AS relation
JOIN pg_catalog.pg_attribute AS attribute ON attribute.attrelid = relation.oid
WHERE relation.relnamespace = to_regnamespace($1) AND relation.relkind = 'r'
  AND attribute.attnum > 0 AND NOT attribute.attisdropped
ORDER BY relation.relname, attribute.attnum

-- name: list_keys
-- Columns of the primary keys of a schema, in order.
-- $1 schema
-- roles: owner
SELECT relation.relname AS table_name, attribute.attname AS column_name
FROM pg_catalog.pg_class AS relation
JOIN pg_catalog.pg_constraint AS primary_key
  ON primary_key.conrelid = relation.oid AND primary_key.contype = 'p'
CROSS JOIN LATERAL unnest(primary_key.conkey) WITH ORDINALITY AS part (number, place)
JOIN pg_catalog.pg_attribute AS attribute
  ON attribute.attrelid = relation.oid AND attribute.attnum = part.number
WHERE relation.relnamespace = to_regnamespace($1)
ORDER BY relation.relname, part.place

-- name: list_table_parts
-- Statements that create the constraints, then the other indexes, then the triggers of a schema.
-- $1 schema
-- roles: owner
SELECT definition
FROM (
    SELECT 1 AS step, conname AS name,
           format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s', $1::text, relname, conname,
                  pg_get_constraintdef(pg_constraint.oid)) AS definition
    FROM pg_catalog.pg_constraint
    JOIN pg_catalog.pg_class ON pg_class.oid = conrelid
    WHERE relnamespace = to_regnamespace($1) AND contype IN ('p', 'u', 'c')
    UNION ALL
    SELECT 2, made.relname, pg_get_indexdef(indexrelid)
    FROM pg_catalog.pg_index
    JOIN pg_catalog.pg_class AS made ON made.oid = indexrelid
    WHERE made.relnamespace = to_regnamespace($1)
      AND NOT EXISTS (
          SELECT FROM pg_catalog.pg_constraint WHERE conindid = indexrelid)
    UNION ALL
    SELECT 3, tgname, pg_get_triggerdef(pg_trigger.oid)
    FROM pg_catalog.pg_trigger
    JOIN pg_catalog.pg_class ON pg_class.oid = tgrelid
    WHERE relnamespace = to_regnamespace($1) AND NOT tgisinternal
) AS parts
ORDER BY step, name

-- name: list_functions
-- Statements that create the functions of a schema; functions that others call come first.
-- $1 schema
-- roles: owner
SELECT pg_get_functiondef(oid) AS definition
FROM pg_catalog.pg_proc
WHERE pronamespace = to_regnamespace($1)
ORDER BY oid

-- name: list_grants
-- Statements that repeat the grants on a schema, its tables and their columns. Functions need none:
-- by default every role that may use the schema may call them.
-- $1 schema
-- roles: owner
SELECT definition
FROM (
    SELECT format('GRANT %s ON SCHEMA %I TO %s', privilege_type, nspname,
                  grantee::regrole) AS definition
    FROM pg_catalog.pg_namespace CROSS JOIN LATERAL aclexplode(nspacl)
    WHERE nspname = $1 AND grantee <> nspowner AND grantee <> 0
    UNION ALL
    SELECT format('GRANT %s ON %I.%I TO %s', privilege_type, $1::text, relname, grantee::regrole)
    FROM pg_catalog.pg_class CROSS JOIN LATERAL aclexplode(relacl)
    WHERE relnamespace = to_regnamespace($1) AND relkind = 'r'
      AND grantee <> relowner AND grantee <> 0
    UNION ALL
    SELECT format('GRANT %s (%I) ON %I.%I TO %s', privilege_type, attname, $1::text, relname,
                  grantee::regrole)
    FROM pg_catalog.pg_class
    JOIN pg_catalog.pg_attribute ON attrelid = pg_class.oid
    CROSS JOIN LATERAL aclexplode(attacl)
    WHERE relnamespace = to_regnamespace($1) AND relkind = 'r'
      AND grantee <> relowner AND grantee <> 0
) AS grants
ORDER BY definition

-- name: list_audit_columns
-- Columns of the audit's events, in order.
-- roles: owner
SELECT attname AS column_name
FROM pg_catalog.pg_attribute
WHERE attrelid = 'audit.event'::regclass AND attnum > 0 AND NOT attisdropped
ORDER BY attnum

-- name: list_foreign_objects
-- What a copy of a schema would miss: views, sequences, partitioned tables, its own types.
-- $1 schema
-- roles: owner
SELECT relname AS name
FROM pg_catalog.pg_class
WHERE relnamespace = to_regnamespace($1) AND relkind NOT IN ('r', 'i', 't')
UNION ALL
SELECT typname
FROM pg_catalog.pg_type
WHERE typnamespace = to_regnamespace($1) AND typrelid = 0 AND typelem = 0

-- name: read_note
-- The comment on a schema.
-- $1 schema
-- roles: owner
SELECT coalesce(obj_description(oid, 'pg_namespace'), '')
FROM pg_catalog.pg_namespace
WHERE nspname = $1

-- name: schema_exists
-- Whether a schema with this name exists.
-- $1 schema
-- roles: owner
SELECT to_regnamespace($1) IS NOT NULL

-- name: lock
-- Take an advisory lock for the session.
-- $1 number
-- roles: owner
SELECT pg_try_advisory_lock($1)

-- name: unlock
-- Release an advisory lock.
-- $1 number
-- roles: owner
SELECT pg_advisory_unlock($1)
