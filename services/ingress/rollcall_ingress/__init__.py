"""The only public door: SCIM for identity providers, the invitation page for people."""
