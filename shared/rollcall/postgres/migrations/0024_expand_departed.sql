-- Organisations that have left for good, and members whose events are erased.

-- One row for each organisation that was deleted: nothing but its id, the event that said so, and
-- when. What comes behind that event in the log is dropped because of it.
CREATE TABLE directory.departed (
    organisation_id uuid NOT NULL,
    event_id uuid NOT NULL,
    departed timestamptz NOT NULL,
    CONSTRAINT departed_pkey PRIMARY KEY (organisation_id)
);

GRANT SELECT, INSERT ON directory.departed TO rollcall_provisioner;
-- No notice is made for who has left.
GRANT SELECT ON directory.departed TO rollcall_notifier;
-- An erasure takes away the letters about a member, bytes and all.
GRANT DELETE ON directory.dead_letter TO rollcall_provisioner;

-- A count of 0 says what no row says, and would be all that is left of an organisation.
CREATE OR REPLACE FUNCTION directory.count_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    UPDATE directory.resource_count AS kept
    SET number = kept.number - gone.number
    FROM (SELECT organisation_id, count(*) AS number FROM deleted GROUP BY organisation_id) AS gone
    WHERE kept.organisation_id = gone.organisation_id AND kept.resource_type = TG_ARGV[0];
    DELETE FROM directory.resource_count AS empty
    USING (SELECT DISTINCT organisation_id FROM deleted) AS gone
    WHERE empty.organisation_id = gone.organisation_id AND empty.resource_type = TG_ARGV[0]
      AND empty.number = 0;
    RETURN NULL;
END
$function$;

DELETE FROM directory.resource_count WHERE number = 0;
