"""Manifests, images and clusters, read and run."""
