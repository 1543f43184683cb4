"""An example of the secrets that manifests need: which store, which key, for whom; never a value. Pure."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from innkeeper.configure.preparation import wanted
from innkeeper.configure.secrets.stores import ENVIRONMENT, variables
from innkeeper.engine.inside import Inside
from innkeeper.model.inside import SecretStore

_BLANK = "CHANGE-ME"


@dataclass(slots=True)
class _Need:
    store: SecretStore | None
    keys: dict[str, list[str]] = field(default_factory=dict)


def example(items: Iterable[Inside]) -> str:
    """One section for each store, in the form in which it is filled; empty where no secret is needed."""
    needs: dict[tuple[str, str], _Need] = {}
    for item in items:
        for _, ref in wanted(item):
            store = item.stores.get(ref.name) or (SecretStore(env="") if ref.name == ENVIRONMENT else None)
            need = needs.setdefault((ref.name, store.model_dump_json() if store else ""), _Need(store))
            users = need.keys.setdefault(ref.key, [])
            if str(item.ref) not in users:
                users.append(str(item.ref))
    return "\n".join(_section(name, need) for (name, _), need in sorted(needs.items()))


def _section(name: str, need: _Need) -> str:
    head, line = _form(need.store)
    lines = [f"# {name}: {head}"]
    for key, users in sorted(need.keys.items()):
        lines += [f"# {', '.join(users)}", line(key)]
    return "\n".join(lines) + "\n"


def _form(store: SecretStore | None) -> tuple[str, Callable[[str], str]]:
    if store is None:
        return "this store is not declared; add it to spec.configure.secrets", lambda key: f"# {key}"
    if store.env is not None:
        prefix = store.env
        return "environment variables", lambda key: f"export {variables(prefix, key)[-1]}={_BLANK}"
    if store.files is not None:
        return f"files in the directory {store.files}, mode 0600", lambda key: f"# {store.files}/{key}"
    if store.vault is not None:
        return f"write this to {store.vault}, then: ansible-vault encrypt {store.vault}", _assignment
    if store.sops is not None:
        return f"write this to {store.sops}, then: sops --encrypt --in-place {store.sops}", _assignment
    return f"write this to a file, then: age --encrypt -r RECIPIENT -o {store.age} FILE", _assignment


def _assignment(key: str) -> str:
    return f"{key}: {_BLANK}"
