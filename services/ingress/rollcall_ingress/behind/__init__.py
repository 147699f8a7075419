"""What is accepted and not applied yet, and reads that hold while it is so."""
