"""Images that manifests declare, and the guests that are made from them: every reference becomes a volume's id."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from innkeeper.manifests.drafts import Draft, without_empty
from innkeeper.manifests.origins import finding
from innkeeper.manifests.validation import validate
from innkeeper.manifests.vocabulary import nearest
from innkeeper.model.diagnostics import Diagnostic
from innkeeper.model.guests import ContainerSpec, VirtualMachineSpec
from innkeeper.model.images import REFERENCE, Build, Image, ImageSpec, NixOutput, volume_of
from innkeeper.model.objects import Origin

Derive = Callable[[Path, str], str | Diagnostic]
"""The derivation of an output of the flake in a directory, or why there is none; it takes a process."""
GuestSpec = ContainerSpec | VirtualMachineSpec


def read_image(found: Draft, derive: Derive | None) -> Image | tuple[Diagnostic, ...]:
    """The image of a draft. An output of Nix is evaluated, because its name in a storage tells its content."""
    spec = validate(ImageSpec, without_empty(found.spec), "spec", found.origin)
    if isinstance(spec, tuple):
        return spec
    name = found.ref.name
    if spec.volume is not None:
        return Image(name, spec.volume, spec.replace_guests)
    if spec.nix is None:
        assert spec.url is not None
        assert spec.checksum is not None
        volume = volume_of(name, spec, spec.checksum.partition(":")[2])
        return Image(name, volume, spec.replace_guests, spec.url, spec.checksum)
    directory = _directory(spec.nix, found.origin)
    if isinstance(directory, Diagnostic):
        return (directory,)
    if derive is None:
        problem, advice = "flakes are not evaluated here", "Whoever runs the server can allow it: allow: [images]."
        return (finding("NotEvaluated", found.origin, "spec.nix", problem, advice),)
    derivation = derive(directory, spec.nix.output)
    if isinstance(derivation, Diagnostic):
        return (derivation,)
    build = Build(str(directory), spec.nix.output, derivation, spec.form)
    digits = derivation.rpartition("/")[2].partition("-")[0]
    return Image(name, volume_of(name, spec, digits), spec.replace_guests, build=build)


def _directory(nix: NixOutput, origin: Origin) -> Path | Diagnostic:
    base = Path(origin.directory).resolve()
    place = (base / nix.flake).resolve()
    if not place.is_relative_to(base) or ".." in Path(nix.flake).parts:
        advice = "Name a directory below the manifest's own."
        return finding("UnsafeValue", origin, "spec.nix.flake", f"{nix.flake} leads out of it", advice)
    if not (place / "flake.nix").is_file():
        return finding("NoFlake", origin, "spec.nix.flake", f"{nix.flake} holds no flake.nix", f"Looked in {place}.")
    return place


def made_from(
    spec: GuestSpec, origin: Origin, images: Mapping[str, Image | None], default: str | None = None
) -> tuple[GuestSpec, tuple[Image, ...], tuple[Diagnostic, ...]]:
    """The spec with volumes in place of references, the images that they are of, and what is wrong with others.

    `default` is the template of the guest's cluster. An image that is None is faulty: everything is said of it already.
    """
    used: dict[str, Image] = {}
    found: list[Diagnostic] = []

    def volume(path: str, text: str | None, content: str) -> str | None:
        if text is None or not text.startswith(REFERENCE):
            return text
        image = images.get(text.removeprefix(REFERENCE))
        if image is None:
            found.extend(_unknown(path, text, origin, images))
        elif image.provided and image.content != content:
            what = "template of a container" if content == "vztmpl" else "disk of a virtual machine"
            advice = "tar.gz, tar.xz and tar.zst are templates; qcow2, raw and vmdk are disks."
            found.append(finding("WrongImage", origin, path, f"{text} is no {what}", advice))
        else:
            used[image.name] = image
            return image.volume
        return text

    if isinstance(spec, ContainerSpec):
        named = default if spec.template is None and (default or "").startswith(REFERENCE) else spec.template
        template = volume("spec.template", named, "vztmpl")
        changed: GuestSpec = spec if template == spec.template else spec.model_copy(update={"template": template})
        return changed, tuple(used.values()), tuple(found)
    disks = tuple(
        disk
        if (source := volume(f"spec.disks.{index}.importFrom", disk.import_from, "import")) == disk.import_from
        else disk.model_copy(update={"import_from": source})
        for index, disk in enumerate(spec.disks or ())
    )
    if used:
        spec = spec.model_copy(update={"disks": disks})
    return spec, tuple(used.values()), tuple(found)


def _unknown(path: str, text: str, origin: Origin, declared: Mapping[str, object]) -> Iterator[Diagnostic]:
    name = text.removeprefix(REFERENCE)
    if name not in declared:
        near = nearest(name, declared)
        listed = f"Images: {', '.join(sorted(declared))}." if declared else "No images are declared."
        advice = f"Did you mean {REFERENCE}{near}? {listed}" if near else listed
        yield finding("UnknownImage", origin, path, f"{text} is not declared", advice)
