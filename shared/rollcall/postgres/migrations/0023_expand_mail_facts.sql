-- Whether it is on the outcomes topic that a mail left, so that it is known after a restore.

ALTER TABLE notice.notification ADD COLUMN announced boolean NOT NULL DEFAULT false;

CREATE INDEX notification_unannounced ON notice.notification (sent_at, event_id)
    WHERE state = 'sent' AND NOT announced;
