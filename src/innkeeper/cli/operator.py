"""`innkeeper crds` and `innkeeper operator`: Kubernetes' door."""

import sys


def crds() -> None:
    """Print the custom resource definitions as YAML.

    \b
    Example:
      innkeeper crds | kubectl apply --server-side -f -
    """
    import yaml

    from innkeeper.operator.crds import definitions

    yaml.dump_all(definitions(), sys.stdout, Dumper=yaml.CSafeDumper, sort_keys=False, width=120, allow_unicode=True)
