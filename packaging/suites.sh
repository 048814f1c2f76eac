# What the scripts beside this one know of a release, and how they get a root file system of it.

# shellcheck shell=bash disable=SC2034  # those who read this use them
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=$ROOT/.venv/bin
CLEAN='env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8'

# Sets of the release $1: python, which it has; mark, which its packages' versions end with.
about() {
  case $1 in
    bookworm) python=3.11 mark=deb12 ;;
    trixie) python=3.13 mark=deb13 ;;
    noble) python=3.12 mark=ubuntu24.04 ;;
    *) echo "$1 is none of bookworm, trixie and noble." >&2 && exit 2 ;;
  esac
}

# Prints whence its packages come: MIRROR_bookworm and so on, else a mirror that this machine uses.
mirror_of() {
  local named=MIRROR_$1 each told
  if [ -n "${!named:-}" ]; then echo "${!named}" && return; fi
  for each in $(apt-get indextargets --format "\$(REPO_URI)" 'Created-By: Packages' | sort -u); do
    told=$(mktemp -u)
    if /usr/lib/apt/apt-helper download-file "${each}dists/$1/InRelease" "$told" >/dev/null 2>&1; then
      rm "$told" && echo "$each" && return
    fi
  done
  echo "No mirror of this machine offers $1. Name one: $named=ADDRESS" >&2
  return 3
}

# Fetches into the folder $1 the wheels for that Python which the lock $2 allows; more is for pip.
fetch() {
  local each platforms=(--platform any)
  for each in 1 2010 2014 _2_17 _2_24 _2_26 _2_27 _2_28 _2_31 _2_34 _2_35; do
    platforms+=(--platform "manylinux${each}_$(uname -m)")
  done
  "$bin/python" -m pip --disable-pip-version-check -qq download --dest "$1" --no-deps \
    --require-hashes --only-binary :all: --requirement "$2" "${@:3}" \
    --python-version "$python" --implementation cp "${platforms[@]}"
}

# Makes a root file system of the release $1, runs the hooks that follow, and removes it.
in_a_root() {
  local suite=$1 mirror components=main
  mirror=$(mirror_of "$suite") || return
  [ "$suite" != noble ] || components=main,universe
  shift
  command -v mmdebstrap >/dev/null || {
    echo 'There is no mmdebstrap. This cures it: sudo apt-get install mmdebstrap' >&2 && return 1
  }
  [ "$(id -u)" = 0 ] || command -v newuidmap >/dev/null || {
    echo 'There is no newuidmap, without which only root makes one. This cures it: sudo apt-get install uidmap' >&2 && return 1
  }
  mmdebstrap --quiet --variant=apt --components="$components" "$@" "$suite" /dev/null "$mirror"
}
