"""`innkeeper crds` and `innkeeper operator`: Kubernetes' door."""

import asyncio
import logging
import re
import sys
from typing import Annotated

import typer


def crds() -> None:
    """Print the custom resource definitions as YAML.

    \b
    Example:
      innkeeper crds | kubectl apply --server-side -f -
    """
    from innkeeper.operator.crds import text

    sys.stdout.write(text())


def operator(
    default_cluster: Annotated[
        str,
        typer.Option(envvar="PROXMOX_DEFAULT_CLUSTER", metavar="NAME", help="The cluster of guests that name none."),
    ] = "",
    reconcile_interval: Annotated[
        str, typer.Option(envvar="RECONCILE_INTERVAL", metavar="TIME", help="How often Proxmox is asked what changed.")
    ] = "30s",
    max_concurrent_reconciles: Annotated[
        int, typer.Option(envvar="MAX_CONCURRENT_RECONCILES", min=1, help="Machines that are worked on at once.")
    ] = 5,
    metrics_bind_address: Annotated[
        str, typer.Option(envvar="METRICS_BIND_ADDRESS", metavar="ADDRESS", help="Where /metrics is served.")
    ] = ":8080",
    health_probe_bind_address: Annotated[
        str, typer.Option(envvar="HEALTH_PROBE_BIND_ADDRESS", metavar="ADDRESS", help="Where /healthz, /readyz are.")
    ] = ":8081",
    namespace: Annotated[
        str, typer.Option(envvar="POD_NAMESPACE", metavar="NAME", help="Where the replicas' Lease and keys are kept.")
    ] = "",
    identity: Annotated[
        str,
        typer.Option(
            envvar="INNKEEPER_IDENTITY",
            metavar="NAME",
            help="Whose the machines are, where two Kubernetes clusters share a Proxmox.",
            show_default="from the uid of the namespace kube-system",
        ),
    ] = "",
    lease_duration: Annotated[
        str, typer.Option(envvar="LEASE_DURATION", metavar="TIME", help="After this another replica takes over.")
    ] = "15s",
) -> None:
    """Keep the guests that objects of Kubernetes declare. Runs until it is told to end.

    \b
    Example:
      innkeeper crds | kubectl apply --server-side -f -
      innkeeper operator --default-cluster lab
    """
    from innkeeper.engine.errors import Stalled

    try:
        from innkeeper.operator.service import Options, run
    except ModuleNotFoundError as error:
        raise Stalled(f"{error.name} is not installed", "pip install 'innkeeper[kubernetes]'") from None

    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format='time=%(asctime)s level=%(levelname)s msg="%(message)s"'
    )
    logging.getLogger("kopf").setLevel(logging.ERROR)
    for noisy in ("asyncio", "asyncssh", "httpx2"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    options = Options(
        default_cluster,
        seconds("RECONCILE_INTERVAL", reconcile_interval),
        max_concurrent_reconciles,
        metrics_bind_address,
        health_probe_bind_address,
        namespace,
        identity,
        seconds("LEASE_DURATION", lease_duration),
    )
    asyncio.run(run(options))


def seconds(name: str, text: str) -> float:
    """`30s`, `1m30s`, `500ms`: a duration as Go writes it."""
    from innkeeper.engine.errors import Stalled

    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise Stalled(f"{name}: {text!r} is no duration", "write 30s or 1m30s")
    return sum(float(number) * units[unit] for number, unit in parts)
