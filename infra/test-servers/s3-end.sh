#!/usr/bin/env bash
# Ends every Ceph process that runs with exactly this ceph.conf, and nothing else; used by s3-up.sh and s3-down.sh.
#
#   s3-end.sh CEPH_CONF SIGNAL TENTHS [NAME]
#
# Sends SIGNAL, and SIGKILL after so many tenths of a second; with NAME (client.rgw, osd.0, mon.a) only to that daemon.
set -euo pipefail
conf=$1 signal=$2 grace=$3 name=${4-}

mine() {
  local process pid arg
  local -a args
  for process in /proc/[0-9]*; do
    pid=${process#/proc/}
    { mapfile -d '' -t args <"$process/cmdline"; } 2>/dev/null || continue
    [[ ${args[0]-} =~ (^|/)(ceph-mon|ceph-osd|radosgw|radosgw-admin)$ ]] || continue
    [[ -z $name || $(cat "${conf%/*}/run/$name.pid" 2>/dev/null) == "$pid" ]] || continue
    for arg in "${args[@]}"; do
      [[ $arg != "$conf" ]] || {
        echo "$pid"
        break
      }
    done
  done
}

mapfile -t left < <(mine)
((${#left[@]})) || exit 0
kill -"$signal" "${left[@]}" 2>/dev/null || true
for ((i = 0; i < grace + 50; i++)); do
  mapfile -t left < <(mine)
  ((${#left[@]})) || exit 0
  ((i < grace)) || kill -KILL "${left[@]}" 2>/dev/null || true
  sleep 0.1
done
echo "s3-end: still there: ${left[*]}" >&2
exit 1
