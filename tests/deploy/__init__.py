"""Manifests, images and settings, read as files or run in a stand-in."""
