"""What is run: experiment files, the command line and the reports."""
