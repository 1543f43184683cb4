"""Mistakes that people make in manifests. `▸` stands where the finding must point; it is taken out before reading."""

# ruff: noqa: E501 - a table reads best with a row a line

from dataclasses import dataclass

HERE = "▸"


@dataclass(frozen=True)
class Mistake:
    code: str
    field: str
    says: str
    text: str

    @property
    def place(self) -> tuple[int, int]:
        before = self.text[: self.text.index(HERE)]
        return before.count("\n") + 1, len(before) - before.rfind("\n")

    @property
    def written(self) -> str:
        return self.text.replace(HERE, "", 1)


def _container(code: str, field: str, says: str, spec: str, name: str = "web") -> Mistake:
    head = f"apiVersion: innkeeper.dev/v1alpha1\nkind: Container\nmetadata: {{name: {name}}}\nspec:\n"
    return Mistake(code, field, says, head + "".join(f"  {line}\n" for line in spec.splitlines()))


def _machine(code: str, field: str, says: str, spec: str) -> Mistake:
    made = _container(code, field, says, spec)
    return Mistake(code, field, says, made.text.replace("kind: Container", "kind: VirtualMachine", 1))


def _plain(code: str, field: str, says: str, text: str) -> Mistake:
    return Mistake(code, field, says, text)


def _cluster(code: str, field: str, says: str, spec: str) -> Mistake:
    made = _container(code, field, says, spec, name="other")
    return Mistake(code, field, says, made.text.replace("kind: Container", "kind: Cluster", 1))


def _profile(code: str, field: str, says: str, spec: str) -> Mistake:
    made = _container(code, field, says, spec, name="small")
    return Mistake(code, field, says, made.text.replace("kind: Container", "kind: Profile", 1))


_API = "apiVersion: innkeeper.dev/v1alpha1\n"
_OK = "apiVersion: innkeeper.dev/v1alpha1\nkind: Container\nmetadata: {name: a}\nspec: {}\n---\n"
_ACCESS = "credentials: {tokenID: a@pam!b, tokenSecret: {env: X}}"

MISTAKES = (
    # The text itself
    _container("AmbiguousWord", "spec.startOnBoot", "Write true", "startOnBoot: ▸yes"),
    _container("AmbiguousWord", "spec.running", "Write false", "running: ▸off"),
    _container("AmbiguousWord", "spec.description", '"no" in quotes', "description: ▸no"),
    _container("AmbiguousWord", "spec.vmid", "Write 755", "vmid: ▸0755"),
    _container("AmbiguousWord", "spec.options.startup", "base 60", "options: {startup: ▸12:34:56}"),
    _container("AmbiguousWord", "spec.vmid", "Write 1000", "vmid: ▸1_000"),
    _container("AmbiguousWord", "spec.vmid", "binary", "vmid: ▸0b11"),
    _container("BadNumber", "spec.vmid", "too large", "vmid: ▸" + "9" * 60),
    _container("BadNumber", "spec.cpu.limit", "finite", "cpu: {limit: ▸.inf}"),
    _container("DuplicateKey", "spec.memory", "Keep one", "memory: 1Gi\n▸memory: 2Gi"),
    _container("MergeKey", "spec.<<", "Profile", "▸<<: {memory: 1Gi}"),
    _container("AnchorRefused", "spec.cpu", "Profile", "cpu: ▸&c {cores: 1}"),
    _container("AnchorRefused", "spec.memory", "*m", "memory: ▸*m"),
    _container("TagRefused", "spec.description", "!!str", "description: ▸!!str 12"),
    _container("TagRefused", "spec.description", "!secret", "description: ▸!secret x"),
    _container("BadKey", "spec", '"1"', "▸1: x"),
    _container("BadKey", "spec.memory", "render templates", "memory: {▸{ memory }}"),
    _container("Syntax", "", "closing", 'description: ▸"no end'),
    _container("Syntax", "", "]", "tags: ▸[a, b"),
    _container("Syntax", "", "colon", "description: a▸: b"),
    _container("Syntax", "", "quotes", "description: ▸@home"),
    _container("TooDeep", "spec.options.a[0]", "bracket", "options: {a: " + "[" * 30 + "▸" + "[" * 3000),
    _container("BadCharacter", "spec.description", "escape", 'description: ▸"a\\0b"'),
    _plain("TabIndent", "", "spaces", _API + "kind: Container\nmetadata:\n▸\tname: web\n"),
    # The document
    _plain("UnknownKind", "kind", "Did you mean Container?", _API + "▸kind: Contaner\nmetadata: {name: a}\nspec: {}\n"),
    _plain("UnknownKind", "kind", "Did you mean VirtualMachine?", _API + "▸kind: Virtualmachine\nmetadata: {name: a}\nspec: {}\n"),
    _plain("UnknownAPIVersion", "apiVersion", "innkeeper.dev/v1alpha1", "▸apiVersion: innkeeper.dev/v1\nkind: Container\nmetadata: {name: a}\nspec: {}\n"),
    _plain("UnknownAPIVersion", "apiVersion", "Did you mean innkeeper.dev/v1alpha1?", "▸apiVersion: inkeeper.dev/v1alpha1\nkind: Container\nmetadata: {name: a}\nspec: {}\n"),
    _plain("MissingField", "apiVersion", "innkeeper.dev/v1alpha1", "▸kind: Container\nmetadata: {name: a}\nspec: {}\n"),
    _plain("MissingField", "kind", "Container", "▸" + _API + "metadata: {name: a}\nspec: {}\n"),
    _plain("MissingField", "metadata", "{name", "▸" + _API + "kind: Container\nspec: {}\n"),
    _plain("MissingField", "spec", "below it", "▸" + _API + "kind: Container\nmetadata: {name: a}\n"),
    _plain("WrongType", "metadata", "a list", _API + "kind: Container\n▸metadata: [a]\nspec: {}\n"),
    _plain("UnknownField", "sepc", "Did you mean spec?", _API + "kind: Container\nmetadata: {name: a}\n▸sepc: {}\nspec: {}\n"),
    _plain("MissingField", "metadata.name", "lower-case", _API + "kind: Container\n▸metadata: {labels: {}}\nspec: {}\n"),
    _plain("BadName", "metadata.name", "Did you mean web-1?", _API + "kind: Container\nmetadata: {▸name: Web_1}\nspec: {}\n"),
    _plain("WrongType", "metadata.annotations.innkeeper.dev/adopt", '"true"', _API + "kind: Container\nmetadata:\n  name: a\n  annotations: {▸innkeeper.dev/adopt: true}\nspec: {}\n"),
    _plain("UnknownField", "metadata.annotations.innkeeper.dev/adpot", "innkeeper.dev/adopt", _API + 'kind: Container\nmetadata:\n  name: a\n  annotations: {▸innkeeper.dev/adpot: "true"}\nspec: {}\n'),
    _plain("MissingField", "metadata.annotations.innkeeper.dev/adopt", "spec.vmid", _API + 'kind: Container\nmetadata:\n  name: a\n  annotations: {▸innkeeper.dev/adopt: "true"}\nspec: {}\n'),
    _plain("UnknownValue", "metadata.annotations.innkeeper.dev/adopt", '"true"', _API + 'kind: Container\nmetadata:\n  name: a\n  annotations: {▸innkeeper.dev/adopt: "yes"}\nspec: {vmid: 100}\n'),
    # Fields and their values
    _container("UnknownField", "spec.memroy", "Did you mean memory?", "▸memroy: 1Gi"),
    _container("UnknownField", "spec.cores", "Did you mean spec.cpu.cores?", "▸cores: 1"),
    _container("UnknownField", "spec.root_disk", "Did you mean rootDisk?", "▸root_disk: {size: 8Gi}"),
    _container("UnknownField", "spec.onboot", "Did you mean startOnBoot?", "▸onboot: true"),
    _container("UnknownField", "spec.net0", "Did you mean network?", "▸net0: {}"),
    _container("UnknownField", "spec.network[0].hwaddr", "Did you mean mac?", "network: [{▸hwaddr: 'BC:24:11:00:00:01'}]"),
    _container("UnknownField", "spec.balloon", "spec.options", "▸balloon: 1Gi"),
    _container("BadQuantity", "spec.memory", "512Mi", "▸memory: 512"),
    _container("BadQuantity", "spec.memory", "write 2Gi", "▸memory: 2G"),
    _container("BadQuantity", "spec.memory", "counts this in whole MiB", "▸memory: 1.5Ki"),
    _container("BadQuantity", "spec.rootDisk.size", "8Gi", "rootDisk: {▸size: 8}"),
    _container("BadQuantity", "spec.swap", "0 for none", "▸swap: false"),
    _container("WrongType", "spec.cpu.cores", "without quotes", 'cpu: {▸cores: "2"}'),
    _container("WrongType", "spec.cpu.cores", "whole number from 1 to 8192", "cpu: {▸cores: 1.5}"),
    _container("WrongType", "spec.startOnBoot", "Write true", '▸startOnBoot: "yes"'),
    _container("WrongType", "spec.unprivileged", "Write true", "▸unprivileged: 1"),
    _container("WrongType", "spec.tags", "a list", "▸tags: web"),
    _container("WrongType", "spec.network", "a list", "▸network: {name: eth0}"),
    _container("WrongType", "spec.cpu", "a map", "▸cpu: 2"),
    _container("WrongType", "spec.tags[1]", '"2"', "tags: [a, ▸2]"),
    _container("OutOfRange", "spec.vmid", "from 100", "▸vmid: 99"),
    _container("OutOfRange", "spec.cpu.cores", "from 1 to 8192", "cpu: {▸cores: 0}"),
    _container("OutOfRange", "spec.network[0].vlan", "1 to 4094", "network: [{▸vlan: 5000}]"),
    _container("UnknownValue", "spec.restart", "Did you mean whenNeeded?", "▸restart: when-needed"),
    _container("BadValue", "spec.network[0].ip", "10.0.0.1/24", "network: [{▸ip: 10.0.0.1}]"),
    _container("BadValue", "spec.network[0].ip", "IPv4", "network: [{▸ip: 10.0.0.300/24}]"),
    _container("BadValue", "spec.network[0].ip6", "zone", "network: [{▸ip6: 'fe80::1%x,gw6=y/64'}]"),
    _container("BadValue", "spec.network[0].gateway", "without its prefix", "network: [{ip: 10.0.0.2/24, ▸gateway: 10.0.0.1/24}]"),
    _container("BadValue", "spec.network[0].mac", "Did you mean BC:24:11:00:00:01?", "network: [{▸mac: bc-24-11-00-00-01}]"),
    _container("BadValue", "spec.network[0].mac", "multicast", "network: [{▸mac: 'BD:24:11:00:00:01'}]"),
    _container("BadValue", "spec.dns.nameservers[0]", "1.1.1.1", "dns: {nameservers: [▸one]}"),
    _container("BadValue", "spec.tags[0]", "letters", "tags: [▸a b]"),
    _container("BadValue", "spec.mounts[0].path", "absolute", "mounts: [{▸path: data, size: 1Gi}]"),
    _container("BadValue", "spec.sshKeys[0]", "public key", "sshKeys: [▸AAAA]"),
    _container("BadValue", "spec.needs[0]", "Did you mean Container/db?", "needs: [▸container/db]"),
    _container("UnsafeValue", "spec.rootDisk.storage", "more than one setting", "rootDisk: {▸storage: 'btr,size=9'}"),
    _container("UnsafeValue", "spec.network[0].bridge", "commas", "network: [{▸bridge: 'vmbr0,firewall=0'}]"),
    _container("UnsafeValue", "spec.options.hookscript", "one line", 'options: {▸hookscript: "a\\nb"}'),
    _container("UnsafeValue", "spec.mounts[0].path", "more than one", "mounts: [{▸path: '/a,ro=1', size: 1Gi}]"),
    _container("PlainSecret", "spec.options.password", "sshKeys", "options: {▸password: hunter2}"),
    _machine("PlainSecret", "spec.options.cipassword", "cloudInit.sshKeys", "options: {▸cipassword: hunter2}"),
    _container("TooLong", "spec.description", "7000", "▸description: " + "x" * 7001),
    _container("BadCombination", "spec.mounts[0]", "not both", "mounts: [▸{path: /a, source: /b, size: 1Gi}]"),
    _container("BadCombination", "spec.mounts[0]", "needs a size", "mounts: [▸{path: /a}]"),
    _machine("MissingField", "spec.disks[0].slot", "scsi0", "disks: [▸{size: 8Gi}]"),
    _machine("BadValue", "spec.disks[0].slot", "scsi0 to scsi30", "disks: [{▸slot: scsi31}]"),
    _machine("UnknownValue", "spec.disks[0].cache", "Did you mean writeback?", "disks: [{slot: scsi0, ▸cache: writback}]"),
    _machine("UnknownValue", "spec.network[0].model", "Did you mean virtio?", "network: [{▸model: virtoi}]"),
    _machine("UnknownValue", "spec.firmware", "ovmf", "▸firmware: uefi"),
    _machine("WrongType", "spec.clone.template", "from 100", "clone: {▸template: true}"),
    _machine("UnknownField", "spec.bios", "Did you mean firmware?", "▸bios: ovmf"),
    _machine("BadCombination", "spec.balloon", "at most spec.memory", "memory: 1Gi\n▸balloon: 2Gi"),
    # One guest against itself
    _container("DuplicateNIC", "spec.network[1].name", "first in line 5", "network: [{name: eth0, slot: net0}, {▸name: eth0, slot: net1}]"),
    _container("DuplicateSlot", "spec.network[1]", "net0", "network: [{name: eth0}, ▸{name: lan, slot: net0}]"),
    _container("MissingField", "spec.network[0].slot", "net0 to net31", "network: [▸{name: lan}]"),
    _container("DuplicatePath", "spec.mounts[1].path", "/a", "mounts: [{path: /a, size: 1Gi}, {▸path: /a, size: 2Gi}]"),
    _machine("DuplicateSlot", "spec.disks[1].slot", "scsi0", "disks: [{slot: scsi0}, {▸slot: scsi0}]"),
    _machine("DuplicateSlot", "spec.cloudInit.slot", "scsi1", "disks: [{slot: scsi1}]\ncloudInit: {storage: btr, ▸slot: scsi1}"),
    _container("GatewayWithoutAddress", "spec.network[0].gateway", "Write ip", "network: [{▸gateway: 10.0.0.1}]"),
    _container("GatewayOutside", "spec.network[0].gateway", "10.0.0.0/24", "network: [{ip: 10.0.0.2/24, ▸gateway: 10.0.1.1}]"),
    _machine("BadCombination", "spec.clone", "leave storage out", "▸clone: {template: golden, full: false, storage: fast}"),
    _container("BadQuantity", "spec.memory", "more than any machine has", "▸memory: 99999999999999999999Ti"),
    _container("GatewayIgnored", "spec.network[0].gateway", "dhcp", "network: [{ip: dhcp, ▸gateway: 10.0.1.1}]"),
    _container("BadValue", "spec.network[0].ip", "nor one of dhcp, or manual", "network: [{▸ip: dhpc}]"),
    _container("NotAHostAddress", "spec.network[0].ip", "network address", "network: [{▸ip: 10.0.0.0/24}]"),
    _container("EmptyField", "spec.memory", "left out", "▸memory:"),
    # Objects against each other
    _plain("DuplicateName", "metadata.name", "declared already", _OK + "apiVersion: innkeeper.dev/v1alpha1\nkind: Container\nmetadata: {▸name: a}\nspec: {}\n"),
    _container("DuplicateVMID", "spec.vmid", "Container/db", "▸vmid: 101"),
    _container("DuplicateAddress", "spec.network[0].ip", "Container/db", "network: [{▸ip: 10.0.0.5/24}]"),
    _machine("DuplicateAddress", "spec.cloudInit.ip", "Container/db", "cloudInit: {▸ip: 10.0.0.5/16}"),
    _container("DuplicateMAC", "spec.network[0].mac", "Container/db", "network: [{▸mac: 'bc:24:11:00:00:05'}]"),
    _container("UnknownNeed", "spec.needs[0]", "Did you mean Container/db?", "needs: [▸Container/dbb]"),
    _container("NeedCycle", "spec.needs[0]", "itself", "needs: [▸Container/web]"),
    _plain("NeedCycle", "spec.needs[0]", "Container/a needs Container/b needs Container/a",
        "apiVersion: innkeeper.dev/v1alpha1\nkind: Container\nmetadata: {name: a}\nspec: {needs: [▸Container/b]}\n---\n"
        "apiVersion: innkeeper.dev/v1alpha1\nkind: Container\nmetadata: {name: b}\nspec: {needs: [Container/a]}\n"),
    _container("UnknownCluster", "spec.cluster", "Did you mean home?", "▸cluster: hom"),
    _container("UnknownProfile", "spec.profile", "Did you mean medium?", "▸profile: medum"),
    _container("ProfileRange", "spec.memory", "at most 2Gi", "profile: medium\n▸memory: 4Gi"),
    _container("ProfileRange", "spec.rootDisk.storage", "one of fast, slow", "profile: medium\nrootDisk: {▸storage: nas}"),
    _machine("ProfileKind", "spec.profile", "Container", "▸profile: medium"),
    # Profiles
    _profile("UnknownField", "spec.defaults.memroy", "Did you mean memory?", "defaults: {▸memroy: 1Gi}"),
    _profile("UnknownField", "spec.defaults.cpu.coers", "Did you mean cpu.cores?", "defaults: {cpu: {▸coers: 1}}"),
    _profile("UnknownField", "spec.defaults.vmid", "own manifest", "defaults: {▸vmid: 100}"),
    _profile("BadQuantity", "spec.defaults.memory", "512Mi", "defaults: {▸memory: 512}"),
    _profile("UnknownField", "spec.allowed.cpu.coers", "Did you mean cpu.cores?", "allowed: {▸cpu.coers: {max: 1}}"),
    _profile("BadQuantity", "spec.allowed.memory.min", "512Mi", "allowed: {memory: {▸min: lots}}"),
    _profile("MissingField", "spec.allowed.memory", "oneOf", "allowed: {▸memory: {}}"),
    _profile("ProfileRange", "spec.defaults.memory", "at most 1Gi", "defaults: {▸memory: 2Gi}\nallowed: {memory: {max: 1Gi}}"),
    _profile("UnknownValue", "spec.supportedKinds[0]", "Did you mean Container?", "supportedKinds: [▸container]"),
    # Clusters
    _cluster("PlainSecret", "spec.credentials.tokenSecret", "{env: NAME}", "endpoints: [https://a:8006]\ncredentials: {tokenID: a@pam!b, ▸tokenSecret: hunter2}"),
    _cluster("BadCombination", "spec.credentials", "one way in", "endpoints: [https://a:8006]\n▸credentials: {}"),
    _cluster("BadValue", "spec.endpoints[0]", "Did you mean https://a:8006?", f"endpoints: [▸http://a:8006]\n{_ACCESS}"),
    _cluster("BadValue", "spec.endpoints[0]", "Did you mean https://a:8006?", f"endpoints: [▸https://a:8006/api2/json]\n{_ACCESS}"),
    _cluster("MissingField", "spec.endpoints", "at least one", f"▸endpoints: []\n{_ACCESS}"),
    _cluster("BadCombination", "spec.tls", "only one", f"endpoints: [https://a:8006]\n▸tls: {{caFile: a, insecure: true}}\n{_ACCESS}"),
    _cluster("InsecureTLS", "spec.tls.insecure", "fingerprint", f"endpoints: [https://a:8006]\ntls: {{▸insecure: true}}\n{_ACCESS}"),
    _cluster("BadValue", "spec.tls.fingerprint", "SHA-256", f"endpoints: [https://a:8006]\ntls: {{▸fingerprint: AA:BB}}\n{_ACCESS}"),
    _cluster("BadCombination", "spec.vmids", "above", f"endpoints: [https://a:8006]\n▸vmids: {{from: 200, to: 100}}\n{_ACCESS}"),
    _cluster("DuplicateEndpoint", "spec.endpoints[0]", "Cluster/home", f"endpoints: [▸https://127.0.0.1:8006/]\n{_ACCESS}"),
    _cluster("UnknownField", "spec.credentials.token", "tokenID", "endpoints: [https://a:8006]\ncredentials: {▸token: x}"),
)  # fmt: skip
