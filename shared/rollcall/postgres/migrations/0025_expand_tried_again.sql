-- A batch that was cut off by a time-out of ours and is tried again: since when, how often, and by
-- which. Null and 0 as soon as the position moves.
ALTER TABLE directory.progress
    ADD COLUMN tried_since timestamptz,
    ADD COLUMN tries integer NOT NULL DEFAULT 0,
    ADD COLUMN tried_because text;
