-- The latest decisions about one organisation, and its latest refusals, without reading the audit.

CREATE INDEX event_by_organisation ON audit.event (organisation_id, id);
CREATE INDEX event_refused ON audit.event (organisation_id, id) WHERE status >= 400;
