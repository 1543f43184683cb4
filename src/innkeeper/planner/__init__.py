"""From declared and observed to decided: pure functions, so that a plan leaves nothing to be chosen while it runs."""
