# shellcheck shell=bash disable=SC2034
# Shared by the scripts beside it: progress and errors, becoming root, Debian packages, cargo, the cache.
# To be sourced, with `set -euo pipefail` in force.

SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CHECKOUT=$(dirname "$SCRIPTS")
# a script called by another one goes on counting from the caller's start
export WB_STARTED=${WB_STARTED:-$(date +%s)}

# What `cargo build` needs on Debian, and what libpipewire needs to run (pipewire-bin has its client.conf).
BUILD_PACKAGES=(build-essential clang libclang-dev pkg-config libpipewire-0.3-dev libpipewire-0.3-modules
  libpipewire-0.3-common pipewire-bin libxkbcommon-dev)
# What the rootfs and the namespaces need.
LAB_PACKAGES=(mmdebstrap debian-archive-keyring util-linux mount ca-certificates)
# The oldest Rust that builds it, as in Cargo.toml.
MSRV=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$CHECKOUT/Cargo.toml")

elapsed() { echo $(($(date +%s) - WB_STARTED)); }
say() { printf '[%4d s] %s\n' "$(elapsed)" "$*" >&2; }
die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# as_root CMD…: as it is for root, through sudo for everybody else.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# need_root: fails with one line where neither root nor sudo is to be had; may ask for the password, once.
need_root() {
  [ "$(id -u)" = 0 ] && return
  command -v sudo >/dev/null || die "needs root: run it as root, or install sudo"
  sudo -n true 2>/dev/null && return
  [ -t 0 ] || die "needs root, and sudo asks for a password: run 'sudo -v' first"
  say "sudo is needed for namespaces and packages"
  sudo -v || die "needs root, and sudo refused"
}

# keep_root: keeps sudo's answer valid for as long as this script runs.
keep_root() {
  need_root
  [ "$(id -u)" = 0 ] && return
  (while sleep 50 && kill -0 $$ 2>/dev/null; do sudo -n true || exit; done) >/dev/null 2>&1 </dev/null &
}

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# apt_need PACKAGE…: installs the missing ones, and says which. APT_OPTIONS are more options for apt.
APT_OPTIONS=()
apt_need() {
  local missing=() package log
  command -v dpkg-query >/dev/null || die "needs Debian 12 or 13 (no dpkg here)"
  for package; do installed "$package" || missing+=("$package"); done
  [ ${#missing[@]} = 0 ] && return
  need_root
  say "installing by apt: ${missing[*]}"
  log=$(mktemp)
  if ! apt_install "${missing[@]}" >"$log" 2>&1; then
    say "apt's package lists may be old: apt-get update"
    as_root apt-get "${APT_OPTIONS[@]}" update -q >>"$log" 2>&1 || true
    apt_install "${missing[@]}" >>"$log" 2>&1 || {
      grep -E '^(E|Err)' "$log" | tail -n 3 >&2 || true
      die "apt could not install ${missing[*]}: see $log (is there a network?)"
    }
  fi
  rm -f "$log"
}
apt_install() { as_root env DEBIAN_FRONTEND=noninteractive apt-get "${APT_OPTIONS[@]}" install -yq --no-remove --no-install-recommends "$@"; }

# debian_archive: the address of this machine's mirror of Debian, as apt knows it.
debian_archive() {
  local uri
  # shellcheck disable=SC2016 # apt's own variable
  uri=$(. /etc/os-release && apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: ${VERSION_CODENAME:-}" | head -n 1)
  [ -n "$uri" ] || die "apt knows no archive of this release: run apt-get update"
  echo "$uri"
}

rust_version() { "$1" --version 2>/dev/null | awk '{print $2}'; }
# new_enough CARGO: whether it is MSRV or later.
new_enough() {
  local version
  version=$(rust_version "$1")
  [ -n "$version" ] && [ "$(printf '%s\n' "$MSRV" "$version" | sort -V | head -n 1)" = "$MSRV" ]
}

# need_cargo: puts a cargo of MSRV or later first in PATH.
need_cargo() {
  local bin=${CARGO_HOME:-$HOME/.cargo}/bin
  PATH=$PATH:$bin
  new_enough cargo && return
  [ ! -x "$bin/cargo" ] || PATH=$bin:$PATH
  new_enough cargo && return
  if ! command -v rustup >/dev/null; then
    # Debian's rustup and Debian's cargo do not go together
    if ! installed cargo && apt-cache show rustup >/dev/null 2>&1; then
      apt_need rustup
    else
      apt_need curl ca-certificates
      say "installing rustup by its official installer into ${bin%/bin}"
      curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
        RUSTUP_INIT_SKIP_PATH_CHECK=yes sh -s -- -y -q --no-modify-path --profile minimal --default-toolchain none >&2 ||
        die "rustup could not be installed: install Rust $MSRV or later by hand"
      PATH=$bin:$PATH
    fi
  fi
  say "installing stable Rust by rustup"
  rustup toolchain install stable --profile minimal -c rustfmt -c clippy >&2 || die "rustup could not install Rust"
  export RUSTUP_TOOLCHAIN=stable
  hash -r
  PATH=$bin:$PATH
  new_enough cargo || die "cargo is $(rust_version cargo), $MSRV or later is needed"
}

# target_dir: where cargo puts what it builds.
target_dir() { (cd "$CHECKOUT" && cargo metadata --no-deps --format-version 1 2>/dev/null) | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'; }

cache_dir() { echo "${WOLF_BRIDGE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/wolf-bridge}"; }
