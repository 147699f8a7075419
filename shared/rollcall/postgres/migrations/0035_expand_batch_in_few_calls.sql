-- A batch of the provisioner in few calls: one that compares and sets the position and loads, one
-- that writes (docs/decisions/0061). They stand in the schema `rollcall`, which no rebuild replaces,
-- and run with the rights of the caller. Their statements name the live schema, and Postgres
-- resolves those names again after a rebuild has taken its place.

-- Compares and sets the position; no more happens where it is not ours (`is_ours`). Each statement
-- of a volatile function sees what was committed before it: so what is loaded is at least as new as
-- the row lock on the position, which the update waits for. Where a document is larger than
-- `in_most_bytes`, or members have more than `in_most_memberships`, not all is loaded (`is_large`):
-- the caller rolls back, measures, and goes another way.
--
-- Columns that come back: `applied` (those of in_events that are in the audit), `gone` (those of
-- in_organisations that have left), `partitions` of in_unplaced [organisation, partition], `quarantines`
-- [organisation, endpoint, resource, dead event, cause], `parks` [organisation, dead event],
-- `members` and `member_groups` (rows whole), `member_names` and `group_names` [organisation, key,
-- id], `member_holders` and `group_holders` [organisation, external id, ids as one text], `known`
-- [organisation, id], `memberships` [organisation, group, member]; each null where there are none.
CREATE FUNCTION rollcall.begin_batch(
    in_topic text, in_partition integer, in_expected bigint, in_epoch integer, in_new bigint,
    in_published bigint, in_last_event_id text, in_last_append_time timestamptz,
    in_unheard uuid[], in_organisations uuid[], in_unplaced uuid[], in_events uuid[],
    in_quarantined uuid[],
    in_member_of uuid[], in_member uuid[], in_user_name_of uuid[], in_user_name text[],
    in_member_holder_of uuid[], in_member_holder text[], in_known_of uuid[], in_known uuid[],
    in_with_groups_of uuid[], in_with_groups uuid[],
    in_group_of uuid[], in_group uuid[], in_group_name_of uuid[], in_group_name text[],
    in_group_holder_of uuid[], in_group_holder text[],
    in_pair_of uuid[], in_pair_group uuid[], in_pair_member uuid[],
    in_most_bytes integer, in_most_memberships integer,
    OUT is_ours boolean, OUT is_large boolean,
    OUT applied text[], OUT gone text[], OUT partitions jsonb, OUT quarantines jsonb,
    OUT parks jsonb, OUT members jsonb, OUT member_names jsonb, OUT member_holders jsonb,
    OUT known jsonb, OUT groups jsonb, OUT group_names jsonb, OUT group_holders jsonb,
    OUT memberships jsonb
) LANGUAGE plpgsql VOLATILE AS $function$
DECLARE
    found_groups uuid[];
    found_group_of uuid[];
BEGIN
    UPDATE directory.progress
    SET next_offset = in_new,
        published_offset = in_published,
        last_event_id = in_last_event_id::uuid,
        last_append_time = in_last_append_time,
        tried_since = NULL,
        tries = 0,
        tried_because = NULL
    WHERE topic = in_topic AND partition = in_partition AND next_offset = in_expected
      AND epoch = in_epoch AND state = 'running';
    is_ours := FOUND;
    is_large := false;
    IF NOT is_ours THEN
        RETURN;
    END IF;

    IF in_unheard IS NOT NULL THEN
        INSERT INTO audit.unheard (id) SELECT id FROM unnest(in_unheard) AS given (id)
        ON CONFLICT (id) DO NOTHING;
    END IF;
    IF in_organisations IS NOT NULL THEN
        gone := ARRAY(SELECT departed.organisation_id::text FROM directory.departed
                      WHERE departed.organisation_id = ANY (in_organisations));
    END IF;
    IF in_unplaced IS NOT NULL THEN
        SELECT jsonb_agg(jsonb_build_array(id, partition)) INTO partitions
        FROM tenancy.organisation WHERE id = ANY (in_unplaced);
    END IF;
    IF in_events IS NOT NULL THEN
        applied := ARRAY(SELECT event.id::text FROM audit.event AS event
                         WHERE event.id = ANY (in_events));
    END IF;

    IF in_with_groups IS NOT NULL THEN
        SELECT array_agg(organisation_id), array_agg(group_id),
               jsonb_agg(jsonb_build_array(organisation_id, group_id, member_id))
        INTO found_group_of, found_groups, memberships
        FROM (
            SELECT organisation_id, found.group_id, found.member_id
            FROM unnest(in_with_groups_of, in_with_groups) AS wanted (organisation_id, member_id)
            JOIN directory.group_member AS found USING (organisation_id, member_id)
            LIMIT in_most_memberships + 1) AS found_first;
        in_group_of := in_group_of || found_group_of;
        in_group := in_group || found_groups;
    END IF;
    is_large := coalesce(cardinality(found_groups) > in_most_memberships, false);
    IF NOT is_large AND in_member IS NOT NULL THEN
        SELECT jsonb_agg(to_jsonb(present)) FILTER (WHERE sized.bytes <= in_most_bytes),
               coalesce(bool_or(sized.bytes > in_most_bytes), false)
        INTO members, is_large
        FROM unnest(in_member_of, in_member) AS wanted (organisation_id, id)
        JOIN directory.member AS present USING (organisation_id, id)
        CROSS JOIN LATERAL (
            SELECT CASE WHEN pg_column_compression(present.document) IS NULL
                        THEN pg_column_size(present.document)
                        ELSE octet_length(present.document::text) END AS bytes) AS sized;
    END IF;
    IF NOT is_large AND in_group IS NOT NULL THEN
        SELECT jsonb_agg(to_jsonb(present)) FILTER (WHERE sized.bytes <= in_most_bytes),
               coalesce(bool_or(sized.bytes > in_most_bytes), false)
        INTO groups, is_large
        FROM (SELECT DISTINCT organisation_id, id
              FROM unnest(in_group_of, in_group) AS named (organisation_id, id)) AS wanted
        JOIN directory."group" AS present USING (organisation_id, id)
        CROSS JOIN LATERAL (
            SELECT CASE WHEN pg_column_compression(present.document) IS NULL
                        THEN pg_column_size(present.document)
                        ELSE octet_length(present.document::text) END AS bytes) AS sized;
    END IF;
    IF is_large THEN
        RETURN;
    END IF;

    IF in_quarantined IS NOT NULL THEN
        SELECT jsonb_agg(jsonb_build_array(organisation_id, endpoint, resource_id, id, cause))
        INTO quarantines
        FROM directory.dead_letter
        WHERE organisation_id = ANY (in_quarantined) AND state = 'dead'
          AND resource_id IS NOT NULL;
        SELECT jsonb_agg(jsonb_build_array(organisation_id, id)) INTO parks
        FROM directory.parked_organisation WHERE organisation_id = ANY (in_quarantined);
    END IF;
    IF in_user_name IS NOT NULL THEN
        SELECT jsonb_agg(jsonb_build_array(organisation_id, user_name_key, present.id))
        INTO member_names
        FROM unnest(in_user_name_of, in_user_name) AS wanted (organisation_id, user_name_key)
        JOIN directory.member AS present USING (organisation_id, user_name_key);
    END IF;
    IF in_member_holder IS NOT NULL THEN
        SELECT jsonb_agg(jsonb_build_array(organisation_id, external_id, ids)) INTO member_holders
        FROM (
            SELECT present.organisation_id, present.external_id,
                   string_agg(present.id::text, ',') AS ids
            FROM unnest(in_member_holder_of, in_member_holder)
                 AS wanted (organisation_id, external_id)
            JOIN directory.member AS present
              ON present.organisation_id = wanted.organisation_id
             AND present.external_id COLLATE "C" = wanted.external_id
            GROUP BY present.organisation_id, present.external_id) AS holding;
    END IF;
    IF in_known IS NOT NULL THEN
        SELECT jsonb_agg(jsonb_build_array(organisation_id, present.id)) INTO known
        FROM unnest(in_known_of, in_known) AS wanted (organisation_id, id)
        JOIN directory.member AS present USING (organisation_id, id);
    END IF;
    IF in_group_name IS NOT NULL THEN
        SELECT jsonb_agg(jsonb_build_array(organisation_id, unique_name_key, present.id))
        INTO group_names
        FROM unnest(in_group_name_of, in_group_name) AS wanted (organisation_id, unique_name_key)
        JOIN directory."group" AS present USING (organisation_id, unique_name_key);
    END IF;
    IF in_group_holder IS NOT NULL THEN
        SELECT jsonb_agg(jsonb_build_array(organisation_id, external_id, ids)) INTO group_holders
        FROM (
            SELECT present.organisation_id, present.external_id,
                   string_agg(present.id::text, ',') AS ids
            FROM unnest(in_group_holder_of, in_group_holder)
                 AS wanted (organisation_id, external_id)
            JOIN directory."group" AS present
              ON present.organisation_id = wanted.organisation_id
             AND present.external_id COLLATE "C" = wanted.external_id
            GROUP BY present.organisation_id, present.external_id) AS holding;
    END IF;
    IF in_pair_group IS NOT NULL THEN
        memberships := coalesce(memberships, '[]') || coalesce((
            SELECT jsonb_agg(jsonb_build_array(organisation_id, group_id, member_id))
            FROM unnest(in_pair_of, in_pair_group, in_pair_member)
                 AS wanted (organisation_id, group_id, member_id)
            JOIN directory.group_member USING (organisation_id, group_id, member_id)), '[]');
    END IF;
END
$function$;

-- Writes the net changes of a batch and its rows of the audit; deletes first. Null stands for
-- nothing of a kind. Of a removed group or member, and of what is held about an erased one, no more
-- than some rows go: `more_of_groups` and `more_of_members` [organisation, id, last one] say of
-- which there may be more, `letters` and `parked` how many held events went.
CREATE FUNCTION rollcall.write_batch(
    in_left_of text, in_left_group text, in_left_member text,
    in_removed_group_of uuid[], in_removed_group uuid[],
    in_removed_member_of uuid[], in_removed_member uuid[],
    in_member_of uuid[], in_member uuid[], in_user_name_key text[], in_member_external_id text[],
    in_status text[], in_restore_status text[], in_invitation_id uuid[], in_member_version uuid[],
    in_member_created timestamptz[], in_member_last_modified timestamptz[],
    in_member_display_name_key text[], in_email_keys text[], in_kept_address text[],
    in_member_document jsonb[],
    in_group_of uuid[], in_group uuid[], in_group_display_name_key text[],
    in_unique_name_key text[], in_group_external_id text[], in_group_version uuid[],
    in_group_created timestamptz[], in_group_last_modified timestamptz[],
    in_group_document jsonb[],
    in_joined_of text, in_joined_group text, in_joined_member text,
    in_erased_of uuid[], in_erased uuid[],
    in_event uuid[], in_event_of uuid[], in_topic text[], in_partition integer[],
    in_offset bigint[], in_epoch integer[], in_type text[], in_resource_id text[],
    in_actor text[], in_append_time timestamptz[], in_event_time timestamptz[],
    in_answer integer[], in_scim_type text[], in_optimistic boolean[], in_outcomes text[],
    in_most_of_each integer, in_most_held integer,
    OUT more_of_groups jsonb, OUT more_of_members jsonb, OUT letters bigint, OUT parked bigint
) LANGUAGE plpgsql VOLATILE AS $function$
BEGIN
    IF in_left_of IS NOT NULL THEN
        DELETE FROM directory.group_member AS present
        USING unnest(string_to_array(in_left_of, ',')::uuid[],
                     string_to_array(in_left_group, ',')::uuid[],
                     string_to_array(in_left_member, ',')::uuid[])
              AS given (organisation_id, group_id, member_id)
        WHERE present.organisation_id = given.organisation_id
          AND present.group_id = given.group_id
          AND present.member_id = given.member_id;
    END IF;
    IF in_removed_group IS NOT NULL THEN
        WITH part AS (
            SELECT wanted.organisation_id, wanted.group_id, found.member_id
            FROM unnest(in_removed_group_of, in_removed_group) AS wanted (organisation_id, group_id)
            CROSS JOIN LATERAL (
                SELECT of_group.member_id
                FROM directory.group_member AS of_group
                WHERE of_group.organisation_id = wanted.organisation_id
                  AND of_group.group_id = wanted.group_id
                ORDER BY of_group.member_id
                LIMIT in_most_of_each) AS found
        ), taken AS (
            DELETE FROM directory.group_member AS present
            USING part
            WHERE present.organisation_id = part.organisation_id
              AND present.group_id = part.group_id
              AND present.member_id = part.member_id
        )
        SELECT jsonb_agg(jsonb_build_array(organisation_id, group_id, last)) INTO more_of_groups
        FROM (SELECT organisation_id, group_id,
                     (array_agg(member_id ORDER BY member_id DESC))[1] AS last
              FROM part
              GROUP BY organisation_id, group_id
              HAVING count(*) >= in_most_of_each) AS longer;
        DELETE FROM directory."group" AS present
        USING unnest(in_removed_group_of, in_removed_group) AS given (organisation_id, id)
        WHERE present.organisation_id = given.organisation_id AND present.id = given.id;
    END IF;
    IF in_removed_member IS NOT NULL THEN
        WITH part AS (
            SELECT wanted.organisation_id, found.group_id, wanted.member_id
            FROM unnest(in_removed_member_of, in_removed_member)
                 AS wanted (organisation_id, member_id)
            CROSS JOIN LATERAL (
                SELECT of_member.group_id
                FROM directory.group_member AS of_member
                WHERE of_member.organisation_id = wanted.organisation_id
                  AND of_member.member_id = wanted.member_id
                ORDER BY of_member.group_id
                LIMIT in_most_of_each) AS found
        ), taken AS (
            DELETE FROM directory.group_member AS present
            USING part
            WHERE present.organisation_id = part.organisation_id
              AND present.group_id = part.group_id
              AND present.member_id = part.member_id
        )
        SELECT jsonb_agg(jsonb_build_array(organisation_id, member_id, last)) INTO more_of_members
        FROM (SELECT organisation_id, member_id,
                     (array_agg(group_id ORDER BY group_id DESC))[1] AS last
              FROM part
              GROUP BY organisation_id, member_id
              HAVING count(*) >= in_most_of_each) AS longer;
        DELETE FROM directory.member AS present
        USING unnest(in_removed_member_of, in_removed_member) AS given (organisation_id, id)
        WHERE present.organisation_id = given.organisation_id AND present.id = given.id;
    END IF;
    IF in_member IS NOT NULL THEN
        INSERT INTO directory.member AS present (
            organisation_id, id, user_name_key, external_id, status, restore_status, invitation_id,
            version, created, last_modified, display_name_key, email_keys, kept_address, document)
        SELECT given.organisation_id, given.id, given.user_name_key, given.external_id,
               given.status, given.restore_status, given.invitation_id, given.version,
               given.created, given.last_modified, given.display_name_key,
               string_to_array(given.email_keys, E'\x1e'), given.kept_address, given.document
        FROM unnest(
            in_member_of, in_member, in_user_name_key, in_member_external_id, in_status,
            in_restore_status, in_invitation_id, in_member_version, in_member_created,
            in_member_last_modified, in_member_display_name_key, in_email_keys, in_kept_address,
            in_member_document
        ) AS given (
            organisation_id, id, user_name_key, external_id, status, restore_status, invitation_id,
            version, created, last_modified, display_name_key, email_keys, kept_address, document)
        ON CONFLICT (organisation_id, id) DO UPDATE SET
            user_name_key = excluded.user_name_key,
            external_id = excluded.external_id,
            status = excluded.status,
            restore_status = excluded.restore_status,
            invitation_id = excluded.invitation_id,
            version = excluded.version,
            created = excluded.created,
            last_modified = excluded.last_modified,
            display_name_key = excluded.display_name_key,
            email_keys = excluded.email_keys,
            document = excluded.document,
            kept_address = excluded.kept_address;
    END IF;
    IF in_group IS NOT NULL THEN
        INSERT INTO directory."group" AS present (
            organisation_id, id, display_name_key, unique_name_key, external_id,
            version, created, last_modified, document)
        SELECT given.organisation_id, given.id, given.display_name_key, given.unique_name_key,
               given.external_id, given.version, given.created, given.last_modified, given.document
        FROM unnest(
            in_group_of, in_group, in_group_display_name_key, in_unique_name_key,
            in_group_external_id, in_group_version, in_group_created, in_group_last_modified,
            in_group_document
        ) AS given (
            organisation_id, id, display_name_key, unique_name_key, external_id,
            version, created, last_modified, document)
        ON CONFLICT (organisation_id, id) DO UPDATE SET
            display_name_key = excluded.display_name_key,
            unique_name_key = excluded.unique_name_key,
            external_id = excluded.external_id,
            version = excluded.version,
            created = excluded.created,
            last_modified = excluded.last_modified,
            document = excluded.document;
    END IF;
    IF in_joined_of IS NOT NULL THEN
        INSERT INTO directory.group_member (organisation_id, group_id, member_id)
        SELECT given.organisation_id, given.group_id, given.member_id
        FROM unnest(string_to_array(in_joined_of, ',')::uuid[],
                    string_to_array(in_joined_group, ',')::uuid[],
                    string_to_array(in_joined_member, ',')::uuid[])
             AS given (organisation_id, group_id, member_id)
        ON CONFLICT (organisation_id, group_id, member_id) DO NOTHING;
    END IF;
    IF in_erased IS NOT NULL THEN
        DELETE FROM directory.dead_letter
        WHERE ctid = ANY (ARRAY(
            SELECT found.ctid
            FROM unnest(in_erased_of, in_erased) AS erased (organisation_id, resource_id)
            JOIN directory.dead_letter AS found USING (organisation_id, resource_id)
            WHERE found.endpoint = 'Users'
            LIMIT in_most_held));
        GET DIAGNOSTICS letters = ROW_COUNT;
        DELETE FROM directory.parked AS waiting
        WHERE waiting.id = ANY (ARRAY(
            SELECT found.id
            FROM unnest(in_erased_of, in_erased) AS erased (organisation_id, resource_id)
            JOIN directory.parked AS found USING (organisation_id, resource_id)
            WHERE found.endpoint = 'Users'
            LIMIT in_most_held));
        GET DIAGNOSTICS parked = ROW_COUNT;
    END IF;
    IF in_event IS NOT NULL THEN
        INSERT INTO audit.event (
            id, organisation_id, topic, partition, "offset", epoch, type, resource_id, actor,
            append_time, event_time, status, scim_type, optimistic, outcomes)
        SELECT given.id, given.organisation_id, given.topic, given.partition, given."offset",
               given.epoch, given.type, given.resource_id, given.actor, given.append_time,
               given.event_time, given.status, given.scim_type, given.optimistic,
               given.outcomes::jsonb
        FROM unnest(
            in_event, in_event_of, in_topic, in_partition, in_offset, in_epoch, in_type,
            in_resource_id, in_actor, in_append_time, in_event_time, in_answer, in_scim_type,
            in_optimistic, in_outcomes
        ) AS given (
            id, organisation_id, topic, partition, "offset", epoch, type, resource_id, actor,
            append_time, event_time, status, scim_type, optimistic, outcomes);
    END IF;
END
$function$;

REVOKE ALL ON FUNCTION rollcall.begin_batch FROM PUBLIC;
REVOKE ALL ON FUNCTION rollcall.write_batch FROM PUBLIC;
GRANT EXECUTE ON FUNCTION rollcall.begin_batch TO rollcall_provisioner;
GRANT EXECUTE ON FUNCTION rollcall.write_batch TO rollcall_provisioner;
