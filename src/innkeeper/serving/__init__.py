"""The server: its configuration read, everything wired, two threads that run it."""
