"""The console's own schema, and what it reads of the others."""
