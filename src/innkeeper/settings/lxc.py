"""The settings of a container, as facts (PVE::LXC::Config; the format of a line is told in `table`)."""

_MOUNT_PARTS = """
  *volume       text      restart
  size          size      grow
  acl           flag      restart
  mountoptions  set       restart
  quota         flag      restart =0
  replicate     flag      restart =1
  ro            flag      restart =0
  shared        flag      restart =0
"""

LXC = f"""
arch          word      replace  =amd64 amd64|i386|arm64|armhf|riscv32|riscv64  VM.Config.Options  !auto
cmode         word      restart  =tty shell|console|tty  VM.Config.Options
console       flag      restart  =1  VM.Config.Options
cores         integer   live     1..8192  VM.Config.CPU
cpulimit      number    live     0..8192 =0  VM.Config.CPU
cpuunits      shares    live     0..500000  VM.Config.CPU
debug         flag      restart  =0  VM.Config.Options
description   text      none     VM.Config.Options
dev[256]      parts     restart  !root  !adds-live
  *path       text
  deny-write  flag      =0
  gid         integer   0..
  mode        text
  uid         integer   0..
entrypoint    text      restart  =/sbin/init  VM.Config.Options  >=9.1
env           text      restart  VM.Config.Options  >=9.1
features      parts     restart  VM.Allocate
  force_rw_sys  flag    =0
  fuse        flag      =0
  keyctl      flag      =0
  mknod       flag      =0
  mount       set
  nesting     flag      =0
hookscript    text      live     !root
hostname      text      live     VM.Config.Network
lock          word      refused  !internal
memory        integer   live     16.. =512  VM.Config.Memory  !required
mp[256]       parts     restart  VM.Config.Disk  !volume !adds-live
  mp          text      restart
  backup      flag      restart =0
  keepattrs   flag      restart =0 >=9.1
{_MOUNT_PARTS}
nameserver    addresses restart  VM.Config.Network
net[32]       parts     live     VM.Config.Network  !device
  name        text
  bridge      text
  firewall    flag      =0
  gw          ip
  gw6         ip
  host-managed  flag    =0 >=9.1
  hwaddr      mac
  ip          cidr
  ip6         cidr
  link_down   flag      =0
  mtu         integer   64..65535
  rate        number
  tag         integer   1..4094
  trunks      set
  type        word      =veth veth
onboot        flag      live     =0  VM.Config.Options
ostype        word      replace  debian|devuan|ubuntu|centos|fedora|opensuse|archlinux|alpine|gentoo|nixos|unmanaged  VM.Config.Options  !auto !required
parent        text      refused  !internal
protection    flag      live     =0  VM.Config.Options
rootfs        parts     restart  VM.Config.Disk  !volume !required
{_MOUNT_PARTS}
searchdomain  list      restart  VM.Config.Network
snaptime      integer   refused  !internal
startup       parts     live     VM.Config.Options
  *order      integer   0..
  up          integer   0..
  down        integer   0..
swap          integer   live     0.. =512  VM.Config.Memory
tags          tags      none     VM.Config.Options
template      flag      refused  =0  !internal
timezone      text      restart  VM.Config.Options
tty           integer   restart  0..6 =2  VM.Config.Options
unprivileged  flag      replace  =0  VM.Config.Options
unused[256]   text      refused  !internal
"""  # noqa: E501
