#!/usr/bin/env bash
# Stops what s3-up.sh started for a folder, and nothing else.
#
#   s3-down.sh FOLDER [--kill] [--wipe]
#
# --kill sends SIGKILL (a crash); --wipe removes the folder afterwards.
set -euo pipefail
[[ $# -ge 1 ]] || {
  echo "usage: s3-down.sh FOLDER [--kill] [--wipe]" >&2
  exit 1
}
[[ -d $1 ]] || exit 0
here=$(cd "${BASH_SOURCE[0]%/*}" && pwd)
DIR=$(cd "$1" && pwd -P)
shift
signal=TERM wipe=0
for option; do
  case $option in
    --kill) signal=KILL ;;
    --wipe) wipe=1 ;;
    *)
      echo "s3-down: unknown option $option" >&2
      exit 1
      ;;
  esac
done
[[ -e $DIR/.lock ]] || {
  echo "s3-down: $DIR was not made by s3-up.sh" >&2
  exit 1
}
exec 9>"$DIR/.lock"
flock -w 300 9
# The gateway first, the monitor last. The gateway keeps nothing of its own and would wait 5 s for its idle threads.
if [[ $signal == TERM ]]; then
  "$here/s3-end.sh" "$DIR/ceph.conf" TERM 10 client.rgw
  "$here/s3-end.sh" "$DIR/ceph.conf" TERM 150 osd.0
fi
"$here/s3-end.sh" "$DIR/ceph.conf" "$signal" 50
rm -f "$DIR"/run/*.pid
((wipe == 0)) || rm -rf "$DIR"
