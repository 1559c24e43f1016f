#!/usr/bin/env bash
# usage: base.sh IMAGE FOLDER
# Makes the base of the node image: Debian with systemd and containerd, plus the node's own files, which travel in
# kind's Go module. Bookworm, because its systemd still accepts cgroup v1.
set -euo pipefail

image=$1 root=$2
kind=$(go -C "$(dirname "${BASH_SOURCE[0]}")/.." list -m -f '{{.Dir}}' sigs.k8s.io/kind)/images/base/files
packages=systemd,conntrack,iptables,iproute2,ethtool,util-linux,mount,kmod,libseccomp2,jq,procps
packages+=,containerd,runc,containernetworking-plugins

# One file system only: an earlier debootstrap that was killed may have left /proc mounted in there.
rm -rf --one-file-system "$root"
debootstrap --variant=minbase --include="$packages" bookworm "$root"
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/*
rm -rf "$root"/usr/share/{doc,info,lintian,locale,man,zoneinfo}

cp -r --no-preserve=mode,ownership "$kind"/. "$root"/
chmod 755 "$root"/kind/bin/* "$root"/usr/local/bin/*

# A node boots containerd and kubelet and nothing else.
units="$root/lib/systemd/system"
rm -f "$units"/{multi-user,local-fs,basic}.target.wants/* "$root"/etc/systemd/system/*.wants/*
rm -f "$units"/sockets.target.wants/*{udev,initctl}* "$units"/sysinit.target.wants/systemd-tmpfiles-setup.service
chroot "$root" systemctl enable containerd kubelet undo-mount-hacks
chroot "$root" systemctl mask systemd-binfmt
printf 'ReadKMsg=no\n' >>"$root/etc/systemd/journald.conf"
ln -sf /usr/lib/systemd/systemd "$root/sbin/init"

# kind's files expect containerd and the network plugins where its own build puts them.
mkdir -p "$root/etc/kubernetes/manifests" "$root/opt/cni"
ln -s /usr/lib/cni "$root/opt/cni/bin"
ln -s /usr/bin/{containerd,ctr} "$root/usr/local/bin/"
hook='.hooks.createContainer += [{path: "/kind/bin/mount-product-files.sh"}] | del(.process.rlimits)'
chroot "$root" ctr oci spec | jq "$hook" >"$root/etc/containerd/cri-base.json"
# Without CAP_SYS_RESOURCE no process may lower its oom_score_adj.
sed -i -e 's/restrict_oom_score_adj = false/restrict_oom_score_adj = true/' \
    -e 's#registry.k8s.io/pause:[^"]*#registry.k8s.io/pause:3.10.1#' \
    -e '/proxy_plugins/,/^$/d' "$root/etc/containerd/config.toml"

tar -C "$root" -c . | docker import - "$image"
rm -rf --one-file-system "$root"
