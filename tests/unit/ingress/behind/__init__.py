"""Reads of an organisation whose accepted requests are not all applied."""
