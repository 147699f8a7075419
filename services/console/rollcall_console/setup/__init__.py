"""Set-up links: a page for whoever runs the identity provider, and nothing else."""
