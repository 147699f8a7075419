-- The page Operations shows how far the notifier is, too.

GRANT SELECT ON notice.progress TO rollcall_console;
