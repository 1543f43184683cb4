"""The JSON API, below /api/v1: the same commands as the portal's, with a session or a personal token."""
