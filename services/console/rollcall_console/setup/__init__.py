"""Set-up links: a page for the person who runs the identity provider, and nothing else."""
