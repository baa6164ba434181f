#!/usr/bin/env bash
# Runs the build stage of infra/Dockerfile without Docker: copies what its COPY lines name into an empty folder and runs
# its RUN lines there, then keeps what the last stage copies.
#
#   infra/docker-steps.sh FOLDER      # afterwards: FOLDER/image is the /safe of the image
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${1:?a folder that is empty or does not exist}
mkdir -p "$target"
[[ -z $(ls -A "$target") ]] || { echo "$target is not empty" >&2; exit 1; }
target=$(cd "$target" && pwd)
build=$target/build image=$target/image
mkdir "$build" "$image"

copy() { # TO FROM… : as COPY does, without what .dockerignore leaves out
  local to=$1 from
  shift
  for from; do
    if [[ -d $from ]]; then
      mkdir -p "$to"
      tar -C "$from" --exclude=node_modules --exclude=dist --exclude='*.tsbuildinfo' -cf - . | tar -C "$to" -xf -
    else
      mkdir -p "$(dirname "$to/x")"
      cp "$from" "$to"
    fi
  done
}

stage=0
while IFS= read -r line; do
  case $line in
    FROM*) ((stage += 1)) ;;
    "COPY --from=build "*)
      read -ra words <<<"${line#COPY --from=build }"
      to=$image/${words[-1]}
      mkdir -p "$(dirname "$to")"
      for from in "${words[@]::${#words[@]}-1}"; do cp -a "$build/${from#/safe/}" "$to"; done
      ;;
    COPY*)
      read -ra words <<<"${line#COPY }"
      to=$build/${words[-1]}
      sources=("${words[@]::${#words[@]}-1}")
      [[ $to != */ && $to != */. && ${#sources[@]} -eq 1 && ! -d $root/${sources[0]} ]] && { cp "$root/${sources[0]}" "$to"; continue; }
      copy "$to" "${sources[@]/#/$root/}"
      ;;
    RUN*)
      ((stage == 1)) || continue # the last stage only makes folders of the image and throws away its npm
      echo "+ ${line#RUN }" >&2
      (cd "$build" && bash -euo pipefail -c "${line#RUN }") </dev/null
      ;;
  esac
done <"$root/infra/Dockerfile"
