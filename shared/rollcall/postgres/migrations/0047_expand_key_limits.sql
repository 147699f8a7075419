-- What narrows an API key: where it may be used from, and what it may do. Null: nothing does.

ALTER TABLE tenancy.api_key ADD COLUMN limits jsonb;
