"""The settings of a virtual machine, as facts (PVE::QemuServer; the format of a line is told in `table`)."""

_DRIVE_PARTS = """
  *file         text      hot:disk  alias:volume
  size          size      grow
  aio           word      restart  native|threads|io_uring
  backup        flag      live     =1
  bps           integer   live
  bps_max_length     integer  live  1..
  bps_rd        integer   live
  bps_rd_max_length  integer  live  1..  alias:bps_rd_length
  bps_wr        integer   live
  bps_wr_max_length  integer  live  1..  alias:bps_wr_length
  cache         word      restart  =none none|writethrough|writeback|unsafe|directsync
  detect_zeroes flag      live     =1
  discard       word      restart  =ignore ignore|on
  format        word      refused  raw|qcow|qed|qcow2|vmdk|cloop
  import-from   text      refused
  iops          integer   live
  iops_max      integer   live
  iops_max_length    integer  live  1..
  iops_rd       integer   live
  iops_rd_max   integer   live
  iops_rd_max_length integer  live  1..  alias:iops_rd_length
  iops_wr       integer   live
  iops_wr_max   integer   live
  iops_wr_max_length integer  live  1..  alias:iops_wr_length
  mbps          number    live
  mbps_max      number    live
  mbps_rd       number    live
  mbps_rd_max   number    live
  mbps_wr       number    live
  mbps_wr_max   number    live
  media         word      refused  =disk cdrom|disk
  replicate     flag      live     =1
  rerror        word      live     ignore|report|stop
  serial        text      live
  shared        flag      live     =0
  snapshot      flag      live     =0
  werror        word      live     enospc|ignore|report|stop
  cyls          integer   live     <9
  heads         integer   live     <9
  secs          integer   live     <9
  trans         word      live     none|lba|auto <9
"""
_SATA_PARTS = f"""{_DRIVE_PARTS}
  ssd           flag      restart  =0
  wwn           text      live
"""
_IDE_PARTS = f"""{_SATA_PARTS}
  model         text      live
"""
_SCSI_PARTS = f"""{_DRIVE_PARTS}
  iothread      flag      restart  =0
  product       text      restart
  queues        integer   restart  2..
  ro            flag      restart  =0
  scsiblock     flag      live     =0
  ssd           flag      restart  =0
  vendor        text      restart
  wwn           text      live
"""
_VIRTIO_PARTS = f"""{_DRIVE_PARTS}
  iothread      flag      restart  =0
  ro            flag      restart  =0
"""
_MODELS = (
    "e1000|e1000-82540em|e1000-82544gc|e1000-82545em|e1000e|i82551|i82557b|i82559er|ne2k_isa|ne2k_pci|pcnet|rtl8139"
    "|virtio|vmxnet3"
)

QEMU = f"""
acpi          flag      restart  =1  VM.Config.HWType
affinity      text      restart  !root
agent         parts     restart  VM.Config.Options
  *enabled    flag      =0
  freeze-fs   flag      =1 >=9.0 alias:guest-fsfreeze
  freeze-fs-on-backup  flag  =1
  fstrim_cloned_disks  flag  live =0
  type        word      =virtio virtio|isa
allow-ksm     flag      restart  =1  VM.Config.Memory  >=9.0
amd-sev       text      restart  !root
arch          word      restart  x86_64|aarch64  !root
args          text      restart  !root
audio0        parts     restart  VM.Config.HWType
  device      word      ich9-intel-hda|intel-hda|AC97
  driver      word      =spice spice|none
autostart     flag      restart  =0  VM.Config.Options
balloon       integer   live     0..  VM.Config.Memory
bios          word      restart  =seabios seabios|ovmf  VM.Config.Options
boot          parts     restart  VM.Config.Disk
  *legacy     text
  order       list
bootdisk      text      restart  VM.Config.Disk
cicustom      text      live     VM.Config.Cloudinit
cipassword    text      live     VM.Config.Cloudinit  !secret
citype        word      live     configdrive2|nocloud|opennebula  VM.Config.Cloudinit
ciupgrade     flag      live     =1  VM.Config.Cloudinit
ciuser        text      live     VM.Config.Cloudinit
cores         integer   restart  1.. =1  VM.Config.CPU
cpu           parts     restart  VM.Config.CPU
  *cputype    text      =kvm64
  flags       set
  guest-phys-bits  integer  32..64 >=9.0
  hidden      flag      =0
  hv-vendor-id  text
  phys-bits   text
  reported-model  text
cpulimit      number    live     0..128 =0  VM.Config.CPU
cpuunits      shares    live     1..262144  VM.Config.CPU
description   text      none     VM.Config.Options
efidisk0      parts     restart  VM.Config.Disk  !volume
  *file       text      alias:volume
  efitype     word      replace  =2m 2m|4m
  format      word      refused  raw|qcow|qed|qcow2|vmdk|cloop
  import-from text      refused
  ms-cert     word      =2011 2011|2023|2023w|2023k
  pre-enrolled-keys  flag  =0
  size        size      refused
freeze        flag      restart  VM.PowerMgmt
hookscript    text      live     !root
hostpci[16]   text      restart  !root
hotplug       set       live     =network,disk,usb  network|disk|usb|cpu|memory|cloudinit|0|1  VM.Config.HWType
hugepages     word      restart  any|2|1024  !root
ide[4]        parts     restart    VM.Config.Disk  !volume
{_IDE_PARTS}
intel-tdx     text      restart  !root  >=9.1
ipconfig[32]  parts     live     VM.Config.Cloudinit
  gw          ip
  gw6         ip
  ip          cidr
  ip6         cidr
ivshmem       parts     restart  !root
  name        text
  size        integer   1..
keephugepages flag      restart  =0  !root
keyboard      word      restart  de|de-ch|da|en-gb|en-us|es|fi|fr|fr-be|fr-ca|fr-ch|hu|is|it|ja|lt|mk|nl|no|pl|pt|pt-br|sv|sl|tr  VM.Config.Options
kvm           flag      restart  =1  VM.Config.HWType
localtime     flag      restart  VM.Config.Options
lock          word      refused  !internal
machine       parts     restart  VM.Config.HWType
  *type       machine   =pc
  aw-bits     integer   32..64 >=9.0
  enable-s3   flag
  enable-s4   flag
  viommu      word      intel|virtio
memory        parts     hot:memory  VM.Config.Memory
  *current    integer   16.. =512
meta          text      refused  !internal
migrate_downtime  number  live   0.. =0.1  VM.Config.Options
migrate_speed integer   live     0.. =0  VM.Config.Options
name          text      live     VM.Config.Options
nameserver    addresses live     VM.Config.Cloudinit
net[32]       parts     live     VM.Config.Network  !device
  *model      word      hot:network  {_MODELS}
  macaddr     mac       hot:network
  bridge      text      live
  firewall    flag      live  =0
  link_down   flag      live  =0
  mtu         integer   hot:network  1..65520
  queues      integer   hot:network  0..64
  rate        number    live  0..
  tag         integer   live  1..4094
  trunks      set       live
numa          flag      restart  =0  VM.Config.CPU
numa[8]       text      restart  VM.Config.CPU
onboot        flag      live     =0  VM.Config.Options
ostype        word      restart  =other other|wxp|w2k|w2k3|w2k8|wvista|win7|win8|win10|win11|l24|l26|solaris  VM.Config.Options
parallel[3]   text      restart  !root
parent        text      refused  !internal
protection    flag      live     =0  VM.Config.Options
reboot        flag      restart  =1  VM.Config.Options
rng0          parts     restart  VM.Config.HWType
  *source     word      /dev/urandom|/dev/random|/dev/hwrng
  max_bytes   integer   =1024 0..
  period      integer   =1000 0..
runningcpu    text      refused  !internal
runningmachine  text    refused  !internal
running-nets-host-mtu  text  refused  !internal
sata[6]       parts     restart    VM.Config.Disk  !volume
{_SATA_PARTS}
scsi[31]      parts     hot:disk  VM.Config.Disk  !volume
{_SCSI_PARTS}
scsihw        word      restart  =lsi lsi|lsi53c810|virtio-scsi-pci|virtio-scsi-single|megasas|pvscsi  VM.Config.HWType
searchdomain  list      live     VM.Config.Cloudinit
serial[4]     text      restart  VM.Config.HWType
shares        integer   live     0..50000 =1000  VM.Config.Memory
smbios1       text      restart  VM.Config.HWType  !auto
smp           integer   restart  1.. =1  VM.Config.CPU
snaptime      integer   refused  !internal
sockets       integer   restart  1.. =1  VM.Config.CPU
spice_enhancements  parts  restart  !root
  foldersharing  flag   =0
  videostreaming  word  =off off|all|filter
sshkeys       keys      live     VM.Config.Cloudinit
startdate     text      restart  =now  VM.Config.Options
startup       parts     live     VM.Config.Options
  *order      integer   0..
  up          integer   0..
  down        integer   0..
tablet        flag      hot:usb  =1  VM.Config.HWType
tags          tags      none     VM.Config.Options
tdf           flag      restart  =0  VM.Config.Options
template      flag      refused  =0  !internal
tpmstate0     parts     restart  VM.Config.Disk  !volume
  *file       text      alias:volume
  format      word      refused  raw|qcow2|vmdk >=9.0
  import-from text      refused
  size        size      refused
  version     word      replace  =v1.2 v1.2|v2.0
unused[256]   text      refused  !internal
usb[14]       parts     hot:usb  VM.Config.HWType
  *host       text
  mapping     text
  usb3        flag      =0
vcpus         integer   hot:cpu  1..  VM.Config.CPU
vga           parts     restart  VM.Config.HWType
  *type       word      =std cirrus|qxl|qxl2|qxl3|qxl4|none|serial0|serial1|serial2|serial3|std|virtio|virtio-gl|vmware
  clipboard   word      vnc
  memory      integer   4..512
virtio[16]    parts     hot:disk  VM.Config.Disk  !volume
{_VIRTIO_PARTS}
virtiofs[10]  parts     restart  VM.Config.Options
  *dirid      text
  cache       word      =auto auto|always|metadata|never
  direct-io   flag      =0
  expose-acl  flag      =0
  expose-xattr  flag    =0
vmgenid       text      restart  VM.Config.Options  !auto
vmstate       text      refused  !internal
vmstatestorage  text    live     VM.Config.Disk
watchdog      parts     restart  VM.Config.HWType
  *model      word      =i6300esb i6300esb|ib700
  action      word      reset|shutdown|poweroff|pause|debug|none
"""  # noqa: E501
