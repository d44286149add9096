# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What the tests in a clean Debian 12 root share. All mounts are made in a mount namespace and all processes run in a PID
# namespace of their own: both end with the script, however it ends.

say() { printf '\n-- fresh root: %s (%d:%02d)\n' "$1" $((SECONDS / 60)) $((SECONDS % 60)); }

require_fresh_root() {
  if ((EUID != 0)); then
    echo "tests/fresh: needs root: chroot, mounts and the lab do" >&2
    exit 1
  fi
  if ! command -v mmdebstrap >/dev/null; then
    echo "tests/fresh: mmdebstrap is missing: scripts/install all" >&2
    exit 1
  fi
}

# Mounts what programs expect in a root; in_root COMMAND... runs one there from then on.
enter_root() {
  entered=$1
  # A mount of its own, because ip netns changes the propagation of /.
  mount --bind "$entered" "$entered"
  mount -t proc proc "$entered/proc"
  mount -t sysfs sysfs "$entered/sys"
  mount --rbind /dev "$entered/dev"
  mount -t tmpfs -o mode=755 tmpfs "$entered/run"
  mkdir "$entered/run/lock"
}

in_root() {
  chroot "$entered" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/root CI=true LC_ALL=C.UTF-8 "$@" </dev/null
}

# in_root_alone COMMAND...: without a network but its own.
in_root_alone() {
  in_root unshare --net sh -c 'ip link set lo up && exec "$@"' sh "$@"
}

child=""
cleanup() {
  # The namespaces' first process takes everything inside with it.
  if [[ -n $child ]]; then kill -KILL "$child" 2>/dev/null || true; wait "$child" 2>/dev/null || true; fi
  if [[ -n $scratch ]]; then rm -rf --one-file-system "$scratch"; fi
}

make_scratch() {
  scratch=$(mktemp -d "${TMPDIR:-/var/tmp}/portolan-fresh.XXXXXX")
  trap cleanup EXIT
  trap 'exit 130' INT TERM
}

# aside COMMAND...: waited for, so that a signal reaches cleanup at once.
aside() {
  "$@" &
  child=$!
  wait "$child"
  child=""
}

# A minimal Debian 12 in $scratch/system.
make_root() {
  # The host's own sources of this release, so that no mirror is named here.
  apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' |
    grep -E ' bookworm(-updates|-security)? main$' | sort -u >"$scratch/sources.list" || {
    echo "tests/fresh: no source of Debian 12 main is configured, or its lists were never fetched: apt-get update" >&2
    exit 1
  }
  local apt_options=() option
  while IFS= read -r option; do apt_options+=("--aptopt=$option"); done < <(
    apt-config dump | grep -E '^Acquire::(https?::(Proxy|Timeout|Verify)|Check-Valid-Until|Check-Date|Retries)' || true)
  say "mmdebstrap: minimal Debian 12"
  aside mmdebstrap --quiet --mode=root --variant=minbase "${apt_options[@]}" bookworm "$scratch/system" \
    "$scratch/sources.list"
  cp /etc/resolv.conf "$scratch/system/etc/resolv.conf"
}

in_namespaces() {
  aside unshare --mount --pid --fork --kill-child=KILL --propagation private "$@"
}
