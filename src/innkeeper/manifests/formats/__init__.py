"""Other people's formats, read as they are: each becomes the same drafts that a native manifest would.

A format is a translation and nothing more. What it yields is checked, planned and written out (`innkeeper convert`)
exactly as if the native manifest stood in its place; what is said about it names the original file and line.
"""
