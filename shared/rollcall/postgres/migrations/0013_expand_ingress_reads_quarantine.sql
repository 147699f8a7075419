-- A look-up while the directory is behind folds accepted requests as the provisioner will, so it
-- must know what is in quarantine: which resource, not what the dead event held.
GRANT SELECT (organisation_id, endpoint, resource_id, id, state) ON directory.dead_letter
    TO rollcall_ingress;
