-- Why a partition stands: `reason` is one word of a small set, `detail` a sentence for people.
-- Null while it runs.

ALTER TABLE directory.progress ADD COLUMN reason text, ADD COLUMN detail text;
ALTER TABLE notice.progress ADD COLUMN reason text, ADD COLUMN detail text;
