-- A partition may be paused for a moment: its owner applies nothing until `paused_until` is over,
-- or somebody lets it run again. The time-out is in the row, so that whoever paused it and died
-- holds nothing up for longer than that.

ALTER TABLE directory.progress
    ADD COLUMN paused_until timestamptz,
    DROP CONSTRAINT progress_state_known,
    ADD CONSTRAINT progress_state_known CHECK (state IN ('running', 'halted', 'paused')),
    ADD CONSTRAINT progress_paused_has_an_end
        CHECK ((state = 'paused') = (paused_until IS NOT NULL));
