-- name: end_stalled
-- End sessions of this role and program that wait for their client in mid-statement and so keep
-- their locks; true for each. A COPY also waits for its client, between one row and the next.
-- $1 seconds: how long such a session may wait
-- roles: ingress, provisioner, notifier, owner
SELECT pg_terminate_backend(pid) AS is_ended
FROM pg_stat_activity
WHERE usename = current_user
  AND datname = current_database()
  AND application_name = current_setting('application_name')
  AND pid <> pg_backend_pid()
  AND state = 'active'
  AND wait_event_type = 'Client'
  AND wait_event = 'ClientRead'
  AND query NOT ILIKE 'copy %'
  AND state_change < clock_timestamp() - make_interval(secs => $1)
