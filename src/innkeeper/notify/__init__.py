"""People hear of failures, drift, recovery and what waits for them: by webhook and by mail."""
