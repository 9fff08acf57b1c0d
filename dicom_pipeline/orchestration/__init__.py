"""The glue between Dagster and the core, which knows no Dagster: shared by the files in `defs`."""
