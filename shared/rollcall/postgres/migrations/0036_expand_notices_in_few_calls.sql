-- A notice in few calls (docs/decisions/0061): one plans a batch of outcomes, one claims what is due
-- together with what a letter is judged by, one counts a mail for its recipient. As the functions of
-- migration 0035, they stand in the schema `rollcall` and run with the rights of the caller.

-- Compares and sets the position; no more happens where it is not ours. Then: notices that are new,
-- endings of members (`in_revocation` null: removed), mails that left. Each statement sees what the
-- ones before it wrote. Null stands for nothing of a kind.
CREATE FUNCTION rollcall.plan_notices(
    in_topic text, in_partition integer, in_expected bigint, in_epoch integer, in_new bigint,
    in_published bigint, in_last_event_id text, in_last_append_time timestamptz,
    in_event uuid[], in_kind text[], in_organisation uuid[], in_member uuid[],
    in_partitions integer[], in_epochs integer[], in_offsets bigint[], in_indexes integer[],
    in_event_time timestamptz[], in_detail jsonb[], in_due_at timestamptz[],
    in_ended_of uuid[], in_ended uuid[], in_revocation uuid[],
    in_sent uuid[], in_sent_kind text[], in_message_id text[], in_sent_at timestamptz[],
    OUT is_ours boolean, OUT planned bigint
) LANGUAGE plpgsql VOLATILE AS $function$
DECLARE
    revoked uuid[];
BEGIN
    UPDATE notice.progress
    SET next_offset = in_new,
        published_offset = greatest(published_offset, in_published),
        last_event_id = in_last_event_id::uuid,
        last_append_time = in_last_append_time
    WHERE topic = in_topic AND partition = in_partition AND next_offset = in_expected
      AND epoch = in_epoch AND state = 'running';
    is_ours := FOUND;
    planned := 0;
    IF NOT is_ours THEN
        RETURN;
    END IF;

    IF in_event IS NOT NULL THEN
        WITH added AS (
            INSERT INTO notice.notification (
                event_id, kind, organisation_id, member_id, partition, epoch, "offset", "index",
                event_time, detail, due_at, next_attempt_at)
            SELECT given.event_id, given.kind, given.organisation_id, given.member_id,
                   given.partition, given.epoch, given."offset", given."index", given.event_time,
                   given.detail, given.due_at,
                   -- The settling time counts from now: delayed outcomes may arrive one by one.
                   CASE WHEN given.kind = 'invitation' THEN given.due_at
                        ELSE greatest(given.due_at, clock_timestamp()
                                      + nullif(given.due_at - given.event_time, '0')) END
            FROM unnest(
                in_event, in_kind, in_organisation, in_member, in_partitions, in_epochs,
                in_offsets, in_indexes, in_event_time, in_detail, in_due_at
            ) AS given (
                event_id, kind, organisation_id, member_id, partition, epoch, "offset", "index",
                event_time, detail, due_at)
            WHERE NOT EXISTS (
                SELECT FROM directory.departed
                WHERE departed.organisation_id = given.organisation_id)
            ON CONFLICT (event_id, kind) DO NOTHING
            RETURNING event_id, kind
        )
        SELECT count(*), array_agg(event_id) FILTER (WHERE kind = 'revocation')
        INTO planned, revoked
        FROM added;
    END IF;
    IF in_ended IS NOT NULL THEN
        -- A revocation whose row is not new is a repeat: what is open now was opened after it.
        UPDATE notice.notification AS notification
        SET state = 'dropped',
            reason = CASE WHEN given.revocation IS NULL THEN 'removed' ELSE 'revoked' END,
            leased_until = NULL,
            lease_owner = NULL,
            -- The lease of a sender that died has run out: it is not known how far it came.
            detail = CASE WHEN notification.leased_until IS NULL THEN notification.detail
                          ELSE notification.detail || '{"may_have_left": true}' END
        FROM unnest(in_ended_of, in_ended, in_revocation)
             AS given (organisation_id, member_id, revocation)
        WHERE notification.organisation_id = given.organisation_id
          AND notification.member_id = given.member_id
          AND notification.state = 'due'
          AND (given.revocation IS NULL
               OR given.revocation = ANY (revoked) AND notification.kind = 'invitation')
          AND (notification.leased_until IS NULL
               OR notification.leased_until <= clock_timestamp());
    END IF;
    IF in_sent IS NOT NULL THEN
        UPDATE notice.notification AS notification
        SET state = 'sent', reason = NULL, message_id = told.message_id, sent_at = told.sent_at,
            announced = true, leased_until = NULL, lease_owner = NULL
        FROM unnest(in_sent, in_sent_kind, in_message_id, in_sent_at)
             AS told (event_id, kind, message_id, sent_at)
        WHERE notification.event_id = told.event_id AND notification.kind = told.kind
          AND notification.state <> 'sent';
    END IF;
END
$function$;

-- Leases what is due now to in_owner, of each member only the earliest by sequence, and reads what a
-- letter is judged by: the member's row, the organisation's document, the kinds of the last mails
-- (as the query `last_mails`), and whether a later revocation or restoration is due. Nothing is
-- claimed that the directory has not applied (after a failover that lost commits it may be behind
-- the outcomes), nor before the outcomes of the partition are read up to in_read_offset or, in a
-- replay, to where they had been read: an event there may say that the mail was sent.
--
-- `moment` is the time by which was judged: in_now, or the server's clock. `has_more`: something was due and is not claimed.
CREATE FUNCTION rollcall.claim_notices(
    in_owner text, in_lease interval, in_most integer, in_requests text, in_outcomes text,
    in_read_partition integer[], in_read_epoch integer[], in_read_offset bigint[],
    in_now timestamptz,
    OUT moment timestamptz, OUT has_more boolean, OUT claimed jsonb
) LANGUAGE plpgsql VOLATILE AS $function$
BEGIN
    moment := coalesce(in_now, clock_timestamp());
    has_more := EXISTS (
        SELECT FROM notice.notification
        WHERE state = 'due' AND next_attempt_at <= moment
          AND (leased_until IS NULL OR leased_until <= moment));
    IF NOT has_more THEN
        RETURN;
    END IF;
    WITH ready AS (
        SELECT event_id, kind
        FROM notice.notification AS candidate
        WHERE state = 'due' AND next_attempt_at <= moment
          AND (leased_until IS NULL OR leased_until <= moment)
          AND NOT EXISTS (
              SELECT FROM directory.progress AS behind
              WHERE behind.topic = in_requests
                AND behind.partition = candidate.partition
                AND (behind.epoch, behind.next_offset) <= (candidate.epoch, candidate."offset"))
          AND NOT EXISTS (
              SELECT FROM unnest(in_read_partition, in_read_epoch, in_read_offset)
                   AS read_up_to (partition, epoch, "offset")
              LEFT JOIN notice.progress AS read_to
                ON read_to.topic = in_outcomes AND read_to.partition = read_up_to.partition
              WHERE read_up_to.partition = candidate.partition
                AND (coalesce(read_to.epoch, 0), coalesce(read_to.next_offset, 0))
                    < (read_up_to.epoch, read_up_to."offset"))
          AND NOT EXISTS (
              SELECT FROM notice.progress AS again
              WHERE again.topic = in_outcomes
                AND again.partition = candidate.partition
                AND again.next_offset < again.published_offset)
          AND NOT EXISTS (
              SELECT FROM notice.notification AS earlier
              WHERE earlier.organisation_id = candidate.organisation_id
                AND earlier.member_id = candidate.member_id
                AND earlier.state = 'due'
                AND (earlier.epoch, earlier."offset", earlier."index")
                    < (candidate.epoch, candidate."offset", candidate."index"))
        ORDER BY next_attempt_at, event_id
        LIMIT in_most
        FOR UPDATE OF candidate SKIP LOCKED
    ), leased AS (
        UPDATE notice.notification AS notification
        SET lease_owner = in_owner,
            leased_until = moment + in_lease,
            attempts = attempts + 1,
            -- The lease of a sender that died has run out: it is not known how far it came.
            detail = CASE WHEN notification.leased_until IS NULL THEN notification.detail
                          ELSE notification.detail || '{"may_have_left": true}' END
        FROM ready
        WHERE notification.event_id = ready.event_id AND notification.kind = ready.kind
        RETURNING notification.event_id, notification.kind, notification.organisation_id,
                  notification.member_id, notification.partition, notification.epoch,
                  notification."offset", notification."index", notification.event_time,
                  notification.detail - 'may_have_left' AS detail, notification.due_at,
                  notification.attempts, notification.reason
    )
    SELECT jsonb_agg(to_jsonb(leased)) INTO claimed FROM leased;
    has_more := EXISTS (
        SELECT FROM notice.notification
        WHERE state = 'due' AND next_attempt_at <= moment
          AND (leased_until IS NULL OR leased_until <= moment));
    -- Another statement, so that it sees what was committed before the claim.
    SELECT jsonb_agg(each.notice || jsonb_build_object(
               'member', to_jsonb(member),
               'organisation', organisation.document,
               'last', mails.last,
               'maybe', mails.maybe,
               'is_overtaken', (each.notice ->> 'kind') <> 'invitation' AND EXISTS (
                   SELECT FROM notice.notification AS later
                   WHERE later.organisation_id = (each.notice ->> 'organisation_id')::uuid
                     AND later.member_id = (each.notice ->> 'member_id')::uuid
                     AND later.state = 'due'
                     AND later.kind IN ('revocation', 'restoration')
                     AND (later.epoch, later."offset", later."index")
                         > ((each.notice ->> 'epoch')::integer,
                            (each.notice ->> 'offset')::bigint,
                            (each.notice ->> 'index')::integer))))
    INTO claimed
    FROM jsonb_array_elements(claimed) AS each (notice)
    LEFT JOIN directory.member AS member
      ON member.organisation_id = (each.notice ->> 'organisation_id')::uuid
     AND member.id = (each.notice ->> 'member_id')::uuid
    LEFT JOIN tenancy.organisation AS organisation
      ON organisation.id = (each.notice ->> 'organisation_id')::uuid
    CROSS JOIN LATERAL (
        SELECT (array_agg(mail.kind ORDER BY (mail.epoch, mail."offset", mail."index") DESC)
                FILTER (WHERE mail.state = 'sent'))[1] AS last,
               (array_agg(CASE WHEN mail.state = 'dropped' THEN mail.kind END
                          ORDER BY (mail.epoch, mail."offset", mail."index") DESC))[1] AS maybe
        FROM notice.notification AS mail
        WHERE mail.organisation_id = (each.notice ->> 'organisation_id')::uuid
          AND mail.member_id = (each.notice ->> 'member_id')::uuid
          AND (mail.state = 'sent' OR mail.state = 'dropped' AND mail.detail ? 'may_have_left')
          AND (member.invitation_id IS NULL OR EXISTS (
              SELECT FROM notice.notification AS invitation
              WHERE invitation.event_id = member.invitation_id AND invitation.kind = 'invitation'
                AND (mail.epoch, mail."offset", mail."index")
                    >= (invitation.epoch, invitation."offset", invitation."index")))
    ) AS mails;
END
$function$;

-- Counts a mail for its recipient unless a bound is reached; `was_taken`: it is counted already.
-- The lock is held to the end of the transaction, and the count, another statement, sees what was
-- committed under it before.
CREATE FUNCTION rollcall.take_mail(
    in_locks integer, in_lock integer, in_recipient bytea, in_event uuid, in_kind text,
    in_organisation uuid, in_member uuid, in_window interval, in_longest interval,
    in_lately bigint, in_in_a_day bigint, in_of_organisation bigint,
    OUT was_taken boolean, OUT is_taken boolean
) LANGUAGE plpgsql VOLATILE AS $function$
BEGIN
    PERFORM pg_advisory_xact_lock(in_locks, in_lock);
    SELECT coalesce(bool_or(event_id = in_event AND kind = in_kind), false),
           count(*) FILTER (WHERE taken_at > clock_timestamp() - in_window) < in_lately
           AND count(*) FILTER (WHERE taken_at > clock_timestamp() - in_longest) < in_in_a_day
           AND count(*) FILTER (WHERE taken_at > clock_timestamp() - in_longest
                                  AND organisation_id = in_organisation) < in_of_organisation
    INTO was_taken, is_taken
    FROM notice.mail_taken
    WHERE recipient = in_recipient;
    IF was_taken THEN
        is_taken := true;
    ELSIF is_taken THEN
        INSERT INTO notice.mail_taken (event_id, kind, recipient, organisation_id, member_id)
        VALUES (in_event, in_kind, in_recipient, in_organisation, in_member);
    END IF;
END
$function$;

REVOKE ALL ON FUNCTION rollcall.plan_notices FROM PUBLIC;
REVOKE ALL ON FUNCTION rollcall.claim_notices FROM PUBLIC;
REVOKE ALL ON FUNCTION rollcall.take_mail FROM PUBLIC;
GRANT EXECUTE ON FUNCTION rollcall.plan_notices TO rollcall_notifier;
GRANT EXECUTE ON FUNCTION rollcall.claim_notices TO rollcall_notifier;
GRANT EXECUTE ON FUNCTION rollcall.take_mail TO rollcall_notifier;
