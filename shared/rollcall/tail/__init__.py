"""The tail of the log: what is accepted and not applied yet, folded as the provisioner will."""
