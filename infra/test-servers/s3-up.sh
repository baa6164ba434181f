#!/usr/bin/env bash
# Starts a real S3 server for tests: Ceph's object gateway (radosgw) on a cluster of one node: one monitor, one OSD on a
# sparse file, no manager. Everything listens on 127.0.0.1 and lives in one folder.
#
#   s3-up.sh FOLDER
#
# Prints S3_ENDPOINT=, S3_ACCESS_KEY=, S3_SECRET_KEY=, S3_BUCKET= and S3_REGION= on standard output, all else on standard
# error. Run it again: nothing happens where all three daemons run; what died is started again on the same ports with the
# same data. Needs ceph-mon, ceph-osd, radosgw, ceph-common and curl of Debian 12 (`.ci/run` installs them); no root.
# S3_DISK_GB (8) is the most that the sparse file grows to.
set -euo pipefail
umask 077

say() { printf 's3-up: %s\n' "$*" >&2; }
die() {
  say "$*"
  exit 1
}

(($# == 1)) || die "usage: s3-up.sh FOLDER"
for program in ceph-mon ceph-osd radosgw radosgw-admin ceph ceph-authtool monmaptool curl flock; do
  command -v "$program" >/dev/null || die "$program is missing (Debian: ceph-mon ceph-osd radosgw ceph-common curl util-linux)"
done
mkdir -p "$1"
DIR=$(cd "$1" && pwd -P)
[[ -e $DIR/.lock || -z $(ls -A "$DIR") ]] || die "$DIR is not empty and was not made by this script"
((${#DIR} <= 80)) || die "the path is too long for a unix socket in it (80 characters): $DIR"
CONF=$DIR/ceph.conf STATE=$DIR/s3.env RUN=$DIR/run LOG=$DIR/log
export CEPH_CONF=$CONF

exec 9>"$DIR/.lock" # one at a time
flock -w 300 9 || die "another s3-up.sh or s3-down.sh holds $DIR/.lock"

# Whether the daemon of a pid file lives and is ours: the same program with our ceph.conf.
alive() { # NAME PROGRAM
  local pid cmd
  pid=$(cat "$RUN/$1.pid" 2>/dev/null) && [[ -n $pid && -r /proc/$pid/cmdline ]] || return 1
  cmd=$(tr '\0' ' ' <"/proc/$pid/cmdline")
  [[ $cmd == *"$2"*"$CONF"* ]] && ! grep -q '^State:[[:space:]]*Z' "/proc/$pid/status"
}
listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
free_port() { # below the range that Linux gives to clients, so that no client takes it
  local port
  for _ in {1..200}; do
    port=$((20000 + (RANDOM * 32768 + RANDOM) % 10000))
    listening "$port" || {
      echo "$port"
      return
    }
  done
  die "no free port"
}
hex() { od -An -tx1 -N"$1" /dev/urandom | tr -d ' \n'; }
# Daemons get neither our lock nor our standard streams.
begin() { "$@" </dev/null >>"$LOG/start.log" 2>&1 9>&-; }

fresh=0
if [[ ! -e $DIR/.made ]]; then
  fresh=1
  "${BASH_SOURCE[0]%/*}/s3-end.sh" "$CONF" KILL 50 # a first start that was cut short
  rm -rf "$DIR"/{mon,osd,rgw,run,log,keyring,monmap,ceph.conf,s3.env,ports}
  mkdir -p "$DIR"/{mon,osd,rgw,run,log}
  printf 'S3_ACCESS_KEY=%s\nS3_SECRET_KEY=%s\nS3_BUCKET=test\nS3_REGION=us-east-1\n' "$(hex 10)" "$(hex 20)" >"$STATE"
  printf 'FSID=%s\nOSD_UUID=%s\nMON_PORT=%s\nS3_PORT=%s\nDISK_GB=%s\n' "$(cat /proc/sys/kernel/random/uuid)" \
    "$(cat /proc/sys/kernel/random/uuid)" "$(free_port)" "$(free_port)" "${S3_DISK_GB:-8}" >"$DIR/ports"
fi
mkdir -p "$RUN" "$LOG"
. "$DIR/ports"
. "$STATE"

cat >"$CONF" <<C
[global]
fsid = $FSID
mon host = v2:127.0.0.1:$MON_PORT
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
ms bind port min = 30000
ms bind port max = 32767
keyring = $DIR/keyring
no mon config = true
run dir = $RUN
admin socket = $RUN/\$name.asok
pid file = $RUN/\$name.pid
log file = $LOG/\$name.log
crash dir = $LOG
log to stderr = false
err to stderr = false
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
# a full store must refuse writes before the file's last bytes, or the OSD aborts
mon osd nearfull ratio = 0.75
mon osd backfillfull ratio = 0.80
mon osd full ratio = 0.85
osd failsafe full ratio = 0.90
osd crush chooseleaf type = 0
mon allow pool size one = true
# quick changes of the map: a first start makes seven pools
paxos propose interval = 0.05
paxos min wait = 0.02
[mon]
mon data = $DIR/mon
mon data avail warn = 2
mon data avail crit = 1
auth allow insecure global id reclaim = false
mon cluster log file = $LOG/cluster.log
[osd]
osd data = $DIR/osd
osd objectstore = bluestore
bluestore block size = $((DISK_GB * 1024 * 1024 * 1024))
bluestore cache autotune = false
bluestore cache size = 134217728
osd memory target = 939524096
# closing the file waits for one poll; mkfs need not check its own work
bdev aio poll ms = 10
bluestore fsck on mkfs = false
osd op num shards = 2
osd op num threads per shard = 2
osd max markdown count = 1000
osd mon heartbeat interval = 10
osd scrub during recovery = false
[client.rgw]
rgw data = $DIR/rgw
# without tcp_nodelay every answer waits 40 ms for a delayed ACK
rgw frontends = beast endpoint=127.0.0.1:$S3_PORT tcp_nodelay=1
rgw thread pool size = 64
rgw rados pool pg num min = 4
rgw override bucket index max shards = 1
rgw dynamic resharding = false
rgw enable usage log = false
rgw crypt require ssl = false
rgw gc obj min wait = 30
rgw gc processor period = 30
rgw gc processor max time = 30
C

if ((fresh)); then
  say "making a cluster of one node in $DIR"
  {
    ceph-authtool -C "$DIR/keyring" --gen-key -n mon. --cap mon 'allow *'
    for who in client.admin client.rgw osd.0; do
      ceph-authtool "$DIR/keyring" --gen-key -n "$who" --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *'
    done
    monmaptool --create --clobber --fsid "$FSID" --addv a "[v2:127.0.0.1:$MON_PORT]" "$DIR/monmap"
    ceph-mon -c "$CONF" -i a --mkfs --monmap "$DIR/monmap" --keyring "$DIR/keyring"
  } >>"$LOG/start.log" 2>&1 9>&- || die "the monitor could not be made, see $LOG/start.log"
fi
alive mon.a ceph-mon || begin ceph-mon -c "$CONF" -i a || die "ceph-mon did not start, see $LOG"
if ((fresh)); then
  timeout 60 ceph --connect-timeout 20 -c "$CONF" osd new "$OSD_UUID" >/dev/null 2>>"$LOG/start.log" 9>&- ||
    die "the monitor does not answer, see $LOG"
  begin ceph-osd -c "$CONF" -i 0 --mkfs --osd-uuid "$OSD_UUID" || die "the OSD could not be made, see $LOG/start.log"
fi
alive osd.0 ceph-osd || begin ceph-osd -c "$CONF" -i 0 || die "ceph-osd did not start, see $LOG"
if ((fresh)); then
  timeout 120 radosgw-admin -c "$CONF" -n client.rgw user create --uid=test --display-name=test \
    --access-key="$S3_ACCESS_KEY" --secret-key="$S3_SECRET_KEY" >>"$LOG/start.log" 2>&1 9>&- ||
    die "the S3 user could not be made, see $LOG/start.log"
fi
if ! alive client.rgw radosgw; then
  ! listening "$S3_PORT" || die "port $S3_PORT is taken by another program"
  begin radosgw -c "$CONF" -n client.rgw || die "radosgw did not start, see $LOG"
fi

endpoint=http://127.0.0.1:$S3_PORT
for i in {1..600}; do
  code=$(curl -s -o /dev/null -m 5 -w '%{http_code}' "$endpoint/" || true)
  [[ $code != 200 ]] || break
  ((i < 20)) || alive client.rgw radosgw || die "radosgw ended, see $LOG"
  sleep 0.1
done
[[ $code == 200 ]] || die "radosgw does not answer, see $LOG"

if ((fresh)); then
  # curl before 8 leaves the hash of an empty body out
  nothing=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
  code=$(curl -s -o "$LOG/bucket.xml" -w '%{http_code}' -X PUT -H "x-amz-content-sha256: $nothing" \
    --aws-sigv4 "aws:amz:$S3_REGION:s3" -K <(printf 'user = "%s:%s"\n' "$S3_ACCESS_KEY" "$S3_SECRET_KEY") \
    "$endpoint/$S3_BUCKET" || true)
  [[ $code == 200 ]] || die "the bucket could not be made: HTTP $code, see $LOG/bucket.xml"
  : >"$DIR/.made"
fi
echo "S3_ENDPOINT=$endpoint"
cat "$STATE"
