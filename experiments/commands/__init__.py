"""What `make` runs beside experiments, one file a command."""
