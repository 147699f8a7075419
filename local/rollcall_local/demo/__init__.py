"""The demo: identity providers, joiners and leavers against a running stack, with expectations."""
