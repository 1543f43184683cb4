"""From a guest that exists to the manifest that describes it: planning what this prints is empty."""

from innkeeper.model.observed import ObservedGuest


def to_spec(observed: ObservedGuest, cluster_name: str) -> dict[str, object]:
    """The manifest's `spec` in file spelling (camelCase, quantities with units): fields first, the rest in `options`.

    Left out: what Proxmox writes by itself (`digest`, `meta`, `vmgenid` …), and what Innkeeper cannot set over the API
    (raw `lxc.*` lines, `unusedN`). ValueError when `observed.config` is None.
    """
    raise NotImplementedError
