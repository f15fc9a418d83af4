"""What went wrong below this project, as sentences: files, names, the hub."""
