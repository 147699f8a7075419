"""Long tests that fit nowhere else."""
