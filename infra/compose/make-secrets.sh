#!/usr/bin/env bash
# Makes ./secrets for docker-compose.yml, once: random passwords and the key ring. What is there already stays.
# Compose mounts each file alone, readable for the user of its container; the folder is closed to everybody else.
set -euo pipefail
umask 077
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
dir=${1:-secrets}
mkdir -p "$dir"
chmod 700 "$dir"
random() { od -An -tx1 -N"$1" /dev/urandom | tr -d ' \n'; }
for name in postgres-password s3-secret grafana-password; do [[ -s $dir/$name ]] || random 24 >"$dir/$name"; done
[[ -s $dir/s3-access-key ]] || random 10 >"$dir/s3-access-key"
[[ -s $dir/safe.keys.json ]] || ${SAFE_SERVER:-npx safe-server} keys create --keys "$dir/safe.keys.json" >/dev/null
chmod 444 "$dir"/postgres-password "$dir"/s3-* "$dir"/grafana-password
chmod 600 "$dir"/safe.keys.json # the server refuses a ring that others may read: it belongs to the user of its container
if ((EUID == 0)); then chown 1000:1000 "$dir/safe.keys.json"; elif ((EUID != 1000)); then
  echo "the container runs as user 1000: sudo chown 1000:1000 $dir/safe.keys.json" >&2
fi
printf 'Secrets are in %s. Keep a copy of %s elsewhere than the data: without it only recovery kits open the backups.\n' "$dir" "$dir/safe.keys.json"
