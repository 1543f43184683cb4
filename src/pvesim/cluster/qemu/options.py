"""What Proxmox knows about a VM's settings: their types, who may change them, which take effect at once.

Tables of PVE::API2::Qemu (check_vm_modify_config_perm) and PVE::QemuServer (confdesc, fast_plug_option).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from pvesim.cluster.qemu import drive, properties

INTEGERS = properties.words("balloon cores cpuunits migrate_speed shares smp sockets vcpus snaptime")
BOOLEANS = properties.words(
    "acpi allow-ksm autostart ciupgrade freeze keephugepages kvm localtime numa onboot protection reboot tablet tdf "
    "template"
)
STRINGS = properties.words(
    "affinity agent amd-sev arch args audio0 bios boot bootdisk cdrom cicustom cipassword citype ciuser cpu "
    "cpulimit description efidisk0 hookscript hotplug hugepages import-working-storage intel-tdx ivshmem keyboard "
    "lock machine memory meta migrate_downtime name nameserver ostype parent rng0 runningcpu runningmachine "
    "running-nets-host-mtu scsihw searchdomain smbios1 spice_enhancements sshkeys startdate startup tags tpmstate0 "
    "vga vmgenid vmstate vmstatestorage watchdog"
)
_NUMBERED = {
    **drive.SLOTS,
    "hostpci": 16,
    "ipconfig": 32,
    "net": 32,
    "numa": 8,
    "parallel": 3,
    "serial": 4,
    "unused": drive.UNUSED,
    "usb": 14,
    "virtiofs": 10,
}
CLOUDINIT = properties.words(
    "cicustom cipassword citype ciuser ciupgrade nameserver searchdomain sshkeys"
)  # what cloud-init reads besides ipconfigN, name and netN
_PRIVILEGES: dict[str, Iterable[str]] = {
    "VM.Config.CPU": ("cores", "cpu", "runningcpu", "cpulimit", "cpuunits", "numa", "smp", "sockets", "vcpus"),
    "VM.Config.Memory": ("memory", "balloon", "shares", "allow-ksm"),
    "VM.Config.HWType": properties.words(
        "acpi hotplug kvm machine runningmachine scsihw smbios1 tablet vga watchdog audio0 rng0"
    ),
    "VM.Config.Options": properties.words(
        "agent autostart bios description keyboard localtime migrate_downtime migrate_speed name onboot ostype "
        "protection reboot startdate startup tdf template"
    ),
    "VM.PowerMgmt": ("freeze",),
    "VM.Config.Disk": ("boot", "bootdisk", "vmstatestorage"),
}
_PRIVILEGE = {name: privilege for privilege, names in _PRIVILEGES.items() for name in names}
_BY_VALUE = re.compile(r"(?:unused|serial|usb|hostpci|virtiofs)\d+|cdrom|tags")
FAST_PLUG = properties.words(
    "description hookscript lock migrate_downtime migrate_speed name onboot protection shares startup tags "
    "vmstatestorage"
)
HOTPLUG_DEFAULT = "network,disk,usb"
_NUMBER = re.compile(r"([a-z]+)(\d+)")


def exists(key: str) -> bool:
    """Whether Proxmox has a setting of that name (PVE::QemuServer, option_exists)."""
    if key in INTEGERS or key in BOOLEANS or key in STRINGS:
        return key != "import-working-storage"
    found = _NUMBER.fullmatch(key)
    return found is not None and int(found[2]) < _NUMBERED.get(found[1], 0) and found[2] == str(int(found[2]))


def typed(config: Mapping[str, str]) -> dict[str, object]:
    """A section as the API shows it: integers and booleans as numbers, all else as text."""
    return {key: number(key, value) for key, value in config.items()}


def number(key: str, value: str) -> object:
    """One value as the API shows it."""
    return int(value) if (key in INTEGERS or key in BOOLEANS) and value.lstrip("-").isdigit() else value


def privileges(key: str) -> tuple[tuple[str, ...], bool] | None:
    """What a change of this setting needs on the VM: (privileges, any of them will do).

    () where it depends on the value and is asked for elsewhere; None: only root@pam may.
    """
    if drive.is_drive(key) or _BY_VALUE.fullmatch(key):
        return (), False
    if key in _PRIVILEGE:
        return (_PRIVILEGE[key],), False
    if re.fullmatch(r"numa\d+", key):
        return ("VM.Config.CPU",), False
    if re.fullmatch(r"net\d+|running-nets-host-mtu", key):
        return ("VM.Config.Network",), False
    if is_cloudinit(key):
        return ("VM.Config.Cloudinit", "VM.Config.Network"), True
    if key == "vmstate":
        return ("VM.Config.Disk", "VM.PowerMgmt"), False
    return None


def is_cloudinit(key: str) -> bool:
    return key in CLOUDINIT or re.fullmatch(r"ipconfig\d+", key) is not None


def is_fast(key: str) -> bool:
    """Whether a change is written at once, running or not (fast_plug_option)."""
    return key in FAST_PLUG or is_cloudinit(key)


def shapes_cloudinit(key: str) -> bool:
    """Whether a change makes the generated cloud-init drive stale (cloudinit_pending_properties)."""
    return is_cloudinit(key) or key == "name" or re.fullmatch(r"net\d+", key) is not None


def hotplug_features(config: Mapping[str, str]) -> frozenset[str]:
    """What `hotplug` allows: network, disk, cpu, memory, usb, cloudinit (parse_hotplug_features)."""
    text = config.get("hotplug", "1")
    return frozenset() if text == "0" else frozenset(properties.items(HOTPLUG_DEFAULT if text == "1" else text))


def memory_mib(config: Mapping[str, str]) -> int:
    """PVE::QemuServer::Memory, get_current_memory."""
    return int(properties.split(config.get("memory", "512"), "current").get("current", "512"))


def agent_enabled(config: Mapping[str, str]) -> bool:
    return properties.flag(properties.split(config.get("agent", ""), "enabled").get("enabled"))


def cores(config: Mapping[str, str]) -> int:
    return int(config.get("sockets", "1")) * int(config.get("cores", "1"))


def is_windows(config: Mapping[str, str]) -> bool:
    return bool(re.match(r"w(in|xp|2k|vista)", config.get("ostype", "")))


def boot_order(config: Mapping[str, str]) -> list[str]:
    """The devices after `order=`; [] for an old-style or empty value."""
    return properties.items(properties.split(config.get("boot", "").strip(), "legacy").get("order"))


def print_boot_order(devices: Iterable[str]) -> str:
    """The value of `boot`; an empty one is a blank in the file (print_bootorder)."""
    listed = ";".join(devices)
    return f"order={listed}" if listed else " "


def default_boot_order(config: Mapping[str, str]) -> str:
    """First disk, first CD-ROM, first network device (get_default_bootdevices)."""
    found = [found for found in drive.drives(config) if found.slot in drive.BOOTABLE]
    first = [next((one.slot for one in found if one.is_cdrom is cdrom), None) for cdrom in (False, True)]
    net = next((f"net{n}" for n in range(32) if f"net{n}" in config), None)
    return print_boot_order(device for device in (*first, net) if device)


def unique_tags(text: str, style: str = "") -> str:
    """Tags as an update stores them: lower case, once, sorted, joined by `;` (PVE::GuestHelpers, get_unique_tags).

    `style` is `tag-style` of the datacenter's options: `case-sensitive=1`, `ordering=config` change that.
    """
    wanted = properties.split(style, "shape")
    exact = properties.flag(wanted.get("case-sensitive"))
    tags = [tag if exact else tag.lower() for tag in properties.items(text)]
    if wanted.get("ordering") != "config":
        tags.sort()
    return ";".join(dict.fromkeys(tags)) or " "
