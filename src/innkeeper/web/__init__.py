"""The portal, the JSON API, webhooks, metrics: everything that is asked over HTTP."""
