"""Offboarding: an organisation written out, an organisation deleted, a member erased."""
