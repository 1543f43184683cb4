"""Nix as a machine that never saw it before has it: builds without helpers and without a network."""

import os
import shutil

import pytest

CONFIG = "build-users-group =\nsubstitute = false\nsandbox-paths = /bin/sh=/bin/busybox"
needs_nix = pytest.mark.skipif(shutil.which("nix") is None or os.geteuid() != 0, reason="needs: nix, and root")
