#!/usr/bin/env bash
# Backs the database up: pg_dump in custom format, read through once, restored into a scratch database with --check, and
# rotated. The connection is what libpq knows (PGHOST, PGUSER, PGDATABASE, PGPASSFILE…), never an argument: arguments
# show in the list of processes.
#
#   backup.sh FOLDER [--keep DAYS] [--check]
#
# --keep    days that dumps stay (30); the newest three stay whatever their age
# --check   restores the new dump into a database SAFE_CHECK_… that is dropped again, and compares the rows of every table;
#           the role must be allowed to create databases. On a database in use, rows that came after the dump are no fault.
# Take the dump before the bucket is copied: a pack without its row does no harm, a row without its pack does.
set -euo pipefail
umask 077
folder='' keep=30 check=0
while (($# > 0)); do
  case $1 in
    --keep) keep=${2:?days} && shift ;;
    --check) check=1 ;;
    *) folder=$1 ;;
  esac
  shift
done
[[ -n $folder && $keep =~ ^[0-9]+$ ]] || { echo 'usage: backup.sh FOLDER [--keep DAYS] [--check]' >&2; exit 2; }
: "${PGDATABASE:?the name of the database}"
mkdir -p "$folder"
file=$folder/safe-$(date -u +%Y%m%dT%H%M%SZ).dump

trap 'rm -f "$file.part"' EXIT
pg_dump --format=custom --no-owner --no-privileges --file="$file.part"
list=$(pg_restore --list "$file.part")
[[ $list == *'TABLE DATA public subscriber '* ]] || { echo 'the dump has no subscribers table' >&2; exit 1; }
pg_restore --file=/dev/null "$file.part" # reads and unpacks every byte
sync "$file.part"
mv "$file.part" "$file"
sync "$folder"

rows() { # DATABASE : "table count" lines
  psql --dbname="$1" --no-psqlrc --tuples-only --no-align --field-separator=' ' --set=ON_ERROR_STOP=1 --command="
    SELECT table_name, (xpath('/row/c/text()', query_to_xml(format('SELECT count(*) AS c FROM public.%I', table_name), false, true, '')))[1]
    FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE' ORDER BY table_name"
}

if ((check)); then
  scratch=safe_check_$$
  createdb "$scratch"
  trap 'rm -f "$file.part"; dropdb --if-exists "$scratch"' EXIT
  pg_restore --exit-on-error --no-owner --no-privileges --dbname="$scratch" "$file"
  diff <(rows "$scratch") <(rows "$PGDATABASE") >&2 || {
    restored=$(rows "$scratch" | awk '{ n += $2 } END { print n + 0 }')
    echo "the database has changed since the dump; $restored rows were restored" >&2
    ((restored > 0)) || exit 1
  }
fi

# rotation
mapfile -t dumps < <(find "$folder" -maxdepth 1 -name 'safe-*.dump' -printf '%f\n' | sort -r)
for name in "${dumps[@]:3}"; do
  [[ -n $(find "$folder/$name" -mtime "+$keep" 2>/dev/null) ]] && rm -- "$folder/$name"
done
printf '%s\n' "$file"
