-- What each service may do: the least that its queries need (docs/reference/database.md).

GRANT USAGE ON SCHEMA rollcall TO rollcall_ingress, rollcall_provisioner, rollcall_notifier;
GRANT SELECT ON rollcall.migration TO rollcall_ingress, rollcall_provisioner, rollcall_notifier;

-- ingress reads the directory, and records when a key was last used.
GRANT USAGE ON SCHEMA directory, tenancy TO rollcall_ingress;
GRANT SELECT ON directory.member, directory."group", directory.group_member, directory.progress
    TO rollcall_ingress;
GRANT SELECT, INSERT, UPDATE ON tenancy.key_use TO rollcall_ingress;

-- provisioner writes the directory, adds to the audit and never changes it, copies tenancy.
GRANT USAGE ON SCHEMA directory, audit, tenancy TO rollcall_provisioner;
GRANT SELECT, INSERT, UPDATE, DELETE
    ON directory.member, directory."group", directory.group_member TO rollcall_provisioner;
GRANT SELECT, INSERT, UPDATE ON directory.progress, directory.dead_letter TO rollcall_provisioner;
GRANT SELECT, INSERT ON audit.event TO rollcall_provisioner;
GRANT SELECT, INSERT, UPDATE, DELETE ON tenancy.organisation, tenancy.api_key
    TO rollcall_provisioner;

-- notifier reads whom it writes to, and keeps its own schema.
GRANT USAGE ON SCHEMA directory, tenancy, notice TO rollcall_notifier;
GRANT SELECT ON directory.member, tenancy.organisation TO rollcall_notifier;
GRANT SELECT, INSERT, UPDATE ON notice.notification, notice.progress TO rollcall_notifier;
