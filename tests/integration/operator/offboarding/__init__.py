"""Organisations and members that leave: deleted, exported, erased."""
