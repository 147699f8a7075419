"""Processes and servers killed and frozen under load: what was answered must hold."""
