"""How each identity provider is set up, in both languages: one TOML file each, and what reads it.

The console's guides and the part *Set up* of `docs/idp/` are made from the same files.
"""
