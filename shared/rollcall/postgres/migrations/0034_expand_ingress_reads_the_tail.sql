-- Ingress folds what is accepted and not applied yet: it asks which events are applied already, and
-- whether an organisation has left.

GRANT SELECT (id) ON audit.event TO rollcall_ingress;
GRANT SELECT (organisation_id) ON directory.departed TO rollcall_ingress;
