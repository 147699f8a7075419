-- name: still_here
-- A sign of life, so that the session does not count as idle in its transaction.
-- roles: provisioner, owner
SELECT true
