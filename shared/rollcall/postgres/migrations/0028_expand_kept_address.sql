-- Where a member is written to, where that is not what its document says: the address that was held
-- before the request that revoked it. Empty: there was none then. Null: what the document says.

ALTER TABLE directory.member ADD COLUMN kept_address text;
