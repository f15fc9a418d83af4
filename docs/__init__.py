"""The pictures of README.md, and the command that makes them: `make figures`."""
