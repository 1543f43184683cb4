"""A portfolio diary: prices are collected by a cron job into PostgreSQL, and shown as a small page."""
