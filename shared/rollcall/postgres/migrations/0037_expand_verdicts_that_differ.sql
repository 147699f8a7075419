-- What ingress answered by its own verdict, where the provisioner decided otherwise.

-- Null: the sender waited for the decision, or was answered without one.
ALTER TABLE audit.unheard ADD COLUMN given smallint;
