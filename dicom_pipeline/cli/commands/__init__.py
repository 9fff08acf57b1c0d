"""The commands: their options and help, nothing else."""
