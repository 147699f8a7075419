-- Run once by the image, when the data folder is empty: our roles, and the database of the owner.
\getenv owner ROLLCALL_OWNER_PASSWORD
\getenv ingress ROLLCALL_INGRESS_PASSWORD
\getenv provisioner ROLLCALL_PROVISIONER_PASSWORD
\getenv notifier ROLLCALL_NOTIFIER_PASSWORD
\getenv console ROLLCALL_CONSOLE_PASSWORD
CREATE ROLE rollcall_owner LOGIN PASSWORD :'owner';
CREATE ROLE rollcall_ingress LOGIN PASSWORD :'ingress';
CREATE ROLE rollcall_provisioner LOGIN PASSWORD :'provisioner';
CREATE ROLE rollcall_notifier LOGIN PASSWORD :'notifier';
CREATE ROLE rollcall_console LOGIN PASSWORD :'console';
CREATE DATABASE rollcall OWNER rollcall_owner;
REVOKE ALL ON DATABASE rollcall FROM PUBLIC;
GRANT CONNECT ON DATABASE rollcall TO rollcall_ingress, rollcall_provisioner, rollcall_notifier,
  rollcall_console;
-- What Postgres gives every role, and none of ours needs. pg_dump would write it down:
-- docs/operations/backup.md.
REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC;
\connect rollcall
SELECT format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', oid::regprocedure) FROM pg_proc
WHERE pronamespace = 'pg_catalog'::regnamespace AND (proname LIKE 'lo\_%' OR proname IN ('loread', 'lowrite'))
\gexec
