"""`innkeeper schema`: what editors need to complete and check manifests."""


def schema() -> None:
    """Print the JSON Schema of all manifests.

    \b
    Example:
      innkeeper schema > innkeeper.schema.json

    In the first line of a manifest, for the YAML language server:

    \b
      # yaml-language-server: $schema=innkeeper.schema.json
    """
    from innkeeper.cli.output import print_json
    from innkeeper.manifests.schema import json_schema

    print_json(json_schema())
