"""The operator's commands: each asks the running gateway, or reads the database itself."""
