-- The notifier sends nothing that the directory has not applied, so it must see how far that is.
GRANT SELECT ON directory.progress TO rollcall_notifier;
