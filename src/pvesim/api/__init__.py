"""The HTTP side: the server and one module of handlers for each part of the API tree."""
