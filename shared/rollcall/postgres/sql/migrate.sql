-- name: migration_history
-- All migrations that were applied to the database.
-- roles: owner
SELECT name, sha256 FROM rollcall.migration ORDER BY name

-- name: record_migration
-- Note that a migration was applied.
-- $1 file name
-- $2 SHA-256 of the file, hexadecimal
-- roles: owner
INSERT INTO rollcall.migration (name, sha256) VALUES ($1, $2)

-- name: pending_migrations
-- Names of migrations that were not applied to the database.
-- $1 file names of this release
-- roles: ingress, provisioner, notifier, owner
SELECT wanted.name
FROM unnest($1::text[]) AS wanted (name)
WHERE NOT EXISTS (SELECT FROM rollcall.migration AS seen WHERE seen.name = wanted.name)
ORDER BY wanted.name

-- name: missing_roles
-- Which of these roles do not exist on the server.
-- $1 names of roles
-- roles: owner
SELECT wanted.name
FROM unnest($1::text[]) AS wanted (name)
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles AS role WHERE role.rolname = wanted.name)
ORDER BY wanted.name

-- name: ensure_months
-- Create the audit's partitions from the present month on; returns how many were missing.
-- $1 number of months
-- roles: owner
SELECT audit.ensure_months(now(), $1)
