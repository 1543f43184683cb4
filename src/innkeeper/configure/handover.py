"""Secrets for other processes, in memory: they never lie on a disk, a command line or in an environment."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def handed_over(text: str | None) -> Iterator[str | None]:
    """A path that holds the text while the block runs, for processes of the same user; None for None.

    The file is anonymous memory of this process. OpenSSH closes descriptors that it inherits, hence a path by process.
    """
    if text is None:
        yield None
        return
    descriptor = os.memfd_create("innkeeper", os.MFD_CLOEXEC)
    try:
        os.fchmod(descriptor, 0o600)
        os.write(descriptor, text.encode())
        yield f"/proc/{os.getpid()}/fd/{descriptor}"
    finally:
        os.close(descriptor)
