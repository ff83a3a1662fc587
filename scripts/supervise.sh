# shellcheck shell=bash
# What every desktop that is used has in common (start-gnome-headless.sh is the first): a look at the environment, a folder for its sockets, a
# home of its own, the bridge, and all of it supervised by s6: a part that ends is started again; when the bridge has ended, all ends, with its
# exit code; SIGTERM and SIGINT end everything in order. Nothing of it is at a fixed path: any number of them run beside each other.
# Another desktop is another script of about this form:
#
#   set -euo pipefail
#   . "$(dirname "$(realpath "$0")")/supervise.sh"
#   begin sway dbus-daemon                             # what has to be installed; then there is $run, and XDG_RUNTIME_DIR is it
#   check_sway() { swaymsg -t get_outputs; }           # when is a part ready? (none: as soon as it runs)
#   service bus -- dbus-daemon --session …
#   service sway bus -- sway -c "$run/etc/sway.config" # after the bus is ready
#   bridge sway "$@"                                   # and the app
#   supervise
#
# Environment:
#   WAYLAND_DISPLAY, XDG_RUNTIME_DIR  the host; kept from the desktop. Without WAYLAND_DISPLAY there is no bridge, only the desktop
#   GAMESCOPE_WIDTH, _HEIGHT, _REFRESH  size and rate of the desktop while the host says none (wolf-bridge's --fallback)
#   WOLF_BRIDGE         (wolf-bridge) the bridge's program
#   WOLF_BRIDGE_APP     a command to start in the desktop, once it is shown
#   WOLF_BRIDGE_ARGS    more options for wolf-bridge
#   WOLF_BRIDGE_NAME    (desktop) settings of the desktop are kept under this name, apart from your own; empty: they are those of HOME
#   WOLF_BRIDGE_RUN     (/tmp, or what else there is) where the folder for its sockets is made

say() { echo "wolf-bridge: $1" >&2; }
die() {
  say "$1"
  exit "${2:-1}"
}

# number NAME LEAST MOST: a variable that is none of those is as good as unset
number() {
  local value=${!1:-}
  [ -n "$value" ] || return 0
  [[ $value =~ ^[0-9]{1,6}$ ]] && [ "$((10#$value))" -ge "$2" ] && [ "$((10#$value))" -le "$3" ] && return
  say "$1 is '$value', which is no number from $2 to $3: it is ignored"
  unset "$1"
}

# what is wrong with the environment is told before anything starts; sets $host
check() {
  local program
  for program in s6-svscan "$@"; do
    command -v "$program" >/dev/null || die "$program is not installed here; container/packages lists what is needed"
  done
  number GAMESCOPE_WIDTH 1 16384
  number GAMESCOPE_HEIGHT 1 16384
  number GAMESCOPE_REFRESH 1 1000
  host=
  [ -n "${HOME:-}" ] || die "HOME is unset: set it to a folder for the desktop's settings"
  [ -n "${WAYLAND_DISPLAY:-}" ] || {
    say "WAYLAND_DISPLAY is unset: the desktop starts, and nothing shows it"
    return
  }
  command -v "${WOLF_BRIDGE:=wolf-bridge}" >/dev/null || die "wolf-bridge is not in PATH; WOLF_BRIDGE can say where it is"
  case $WAYLAND_DISPLAY in
    /*) host=$WAYLAND_DISPLAY ;;
    *)
      [ -n "${XDG_RUNTIME_DIR:-}" ] || die "WAYLAND_DISPLAY is '$WAYLAND_DISPLAY', but XDG_RUNTIME_DIR is unset: where is the host's socket?" 3
      host=$XDG_RUNTIME_DIR/$WAYLAND_DISPLAY
      ;;
  esac
}

# folders of those that had no time to remove them: nobody holds their locks
remove_stale() {
  local old
  for old in "$1"/wolf-bridge.*/lock; do
    if [ -O "$old" ] && flock -n "$old" true; then rm -rf "${old%/lock}"; fi
  done
}

# a folder that only we can look into, and that programs may be started from: s6 starts its scripts there; sets $run
make_run() {
  local base bases=("${WOLF_BRIDGE_RUN:-/tmp}") free
  [ -n "${WOLF_BRIDGE_RUN:-}" ] || bases+=(/run/wolf-bridge /var/tmp "$HOME")
  run=
  trap 'rm -rf "$run"' EXIT
  # not before what is being done is done
  trap 'exit 143' TERM
  trap 'exit 130' INT
  trap 'exit 129' HUP
  for base in "${bases[@]}"; do
    remove_stale "$base"
    run=$(mktemp -d "$base/wolf-bridge.XXXXXX" 2>/dev/null) || continue
    free=$(df -Pk "$run" | awk 'NR == 2 {print $4}')
    # a socket's path has 108 bytes
    if [ ${#run} -le 60 ] && [ "$free" -ge 16384 ] && echo '#!/bin/sh' >"$run/try" && chmod 700 "$run/try" && "$run/try" 2>/dev/null; then break; fi
    rm -rf "$run"
    run=
  done
  [ -n "$run" ] || die "no folder for the desktop's sockets can be made in ${bases[*]}: one that is writable, not mounted noexec, with 16 MB free and a path of at most 40 bytes is needed; WOLF_BRIDGE_RUN can name another"
  rm "$run/try"
  # held by s6-svscan, until the end; never seen before it is
  exec 8>"$run/lock.new"
  flock -n 8
  mv "$run/lock.new" "$run/lock"
  mkdir -p "$run/scan/.s6-svscan" "$run/etc"
}

# settings of its own, unless they are to be those of HOME; two desktops with the same ones would overwrite each other's
make_home() {
  local name=${WOLF_BRIDGE_NAME-desktop} dir try
  if [ -n "$name" ]; then
    case $name in */* | .*) die "WOLF_BRIDGE_NAME is '$name': a name without slashes is needed" 2 ;; esac
    dir=${XDG_STATE_HOME:-$HOME/.local/state}/wolf-bridge/$name
    export XDG_CONFIG_HOME=$dir/config XDG_DATA_HOME=$dir/data XDG_CACHE_HOME=$dir/cache XDG_STATE_HOME=$dir/state
  else
    export XDG_CONFIG_HOME=${XDG_CONFIG_HOME:-$HOME/.config} XDG_DATA_HOME=${XDG_DATA_HOME:-$HOME/.local/share}
    export XDG_CACHE_HOME=${XDG_CACHE_HOME:-$HOME/.cache} XDG_STATE_HOME=${XDG_STATE_HOME:-$HOME/.local/state}
  fi
  if ! mkdir -p "$XDG_CONFIG_HOME" "$XDG_DATA_HOME" "$XDG_CACHE_HOME" "$XDG_STATE_HOME" 2>/dev/null || ! try=$(mktemp "$XDG_STATE_HOME/try.XXXXXX" 2>/dev/null); then
    die "cannot write to $XDG_STATE_HOME: make $HOME writable, and see that it is not full, or set HOME to another folder"
  fi
  # settings that are cut off are worse than none
  head -c 1048576 /dev/zero >"$try" 2>/dev/null || {
    rm -f "$try"
    die "there is no room for the desktop's settings in $XDG_STATE_HOME: 1 MB is needed"
  }
  rm -f "$try"
  # held by s6-svscan, until the end
  exec 9>"$XDG_STATE_HOME/wolf-bridge.lock"
  flock -n 9 || die "a desktop named '$name' runs already; set WOLF_BRIDGE_NAME to another name"
}

# begin PROGRAM…: fails with a line where the environment does not suffice, or one of these is missing. After it there are the host's socket in
# $host (empty: there is none), the folder $run, and an environment in which nothing names the host. Functions named check_PART count from here on.
begin() {
  check "$@"
  make_run
  make_home
  export XDG_RUNTIME_DIR=$run PIPEWIRE_RUNTIME_DIR=$run DBUS_SESSION_BUS_ADDRESS=unix:path=$run/bus DBUS_SYSTEM_BUS_ADDRESS=unix:path=$run/system_bus
  export XDG_SESSION_TYPE=wayland XDG_SESSION_CLASS=user
  unset WAYLAND_DISPLAY WAYLAND_SOCKET DISPLAY PIPEWIRE_REMOTE DBUS_STARTER_ADDRESS DBUS_STARTER_BUS_TYPE
  services=()
}

# host_gpu ARG…: which GPU the host draws on (see wolf-bridge --print-gpu), `any` without a host. What is wrong with the host or with these options
# of the bridge is told by it, and is the end.
host_gpu() {
  # shellcheck disable=SC2086 # a list of words
  if [ -n "$host" ]; then WOLF_BRIDGE_LOG=error "$WOLF_BRIDGE" --host "$host" ${WOLF_BRIDGE_ARGS:-} "$@" --print-gpu; else echo any; fi
}

# service PART [AFTER…] -- CMD…: a supervised part that waits until others are ready, with its name before each line it writes.
# A function check_PART, if there is one, says when it is ready itself.
service() {
  local part=$1 dir=$run/scan/$1 after=()
  shift
  while [ "$1" != -- ]; do
    after+=("../$1")
    shift
  done
  shift
  mkdir -p "$dir/data" "$dir/log"
  # others wait for a part to be ready, which s6 does not take for granted
  declare -f "check_$part" >/dev/null || eval "check_$part() { :; }"
  echo 3 >"$dir/notification-fd"
  printf '#!/bin/bash\n. %s/functions\ncheck_%s >/dev/null 2>&1\n' "$run" "$part" >"$dir/data/check"
  {
    echo '#!/bin/sh'
    echo 'exec 2>&1 8>&- 9>&-'
    # at the very start they may not even be looked after yet
    [ ${#after[@]} = 0 ] || echo "for part in ${after[*]}; do until [ -e \"\$part/supervise/status\" ]; do sleep 0.01; done; done"
    [ ${#after[@]} = 0 ] || echo "s6-svwait -U ${after[*]} || exit 1"
    printf 'exec'
    printf ' %q' s6-notifyoncheck -d -n 0 -w 100 -s 50 "$@"
    echo
  } >"$dir/run"
  # ends that come too often are no crashes that another start mends
  cat >"$dir/finish" <<X
#!/bin/sh
s6-permafailon 60 6 0-255,SIGHUP,SIGINT,SIGQUIT,SIGILL,SIGABRT,SIGBUS,SIGFPE,SIGKILL,SIGSEGV true
[ \$? = 125 ] || exit 0
echo "ended 6 times in a minute, the last time with code \$1 (signal \$2): giving up"
echo 1 >$run/code
$run/stop &
exit 125
X
  # a log that outlives what it is of
  printf '#!/bin/sh\nexec 8>&- 9>&-\nexec s6-log -b "p%s: " 1\n' "$part" >"$dir/log/run"
  echo 4000 >"$dir/timeout-kill"
  chmod 755 "$dir/data/check" "$dir/run" "$dir/finish" "$dir/log/run"
  # what looks at others ends before what is looked at
  services=("$part" "${services[@]}")
}

# bridge DESKTOP ARG…: wolf-bridge with these options, when that part is ready, and the app, when it is shown
bridge() {
  local desktop=$1 shown=$1
  shift
  if [ -n "$host" ]; then
    shown=bridge
    # shellcheck disable=SC2086 # a list of words
    service bridge "$desktop" -- "$WOLF_BRIDGE" --host "$host" \
      --fallback "${GAMESCOPE_WIDTH:-1280}x${GAMESCOPE_HEIGHT:-720}@${GAMESCOPE_REFRESH:-60}" ${WOLF_BRIDGE_ARGS:-} "$@"
    # its end is the end of all
    # shellcheck disable=SC2016 # its own variables
    printf '#!/bin/sh\ncode=$1\n[ "$1" -lt 256 ] || code=$((128 + $2))\n[ -e %s/code ] || echo "$code" >%s/code\n%s/stop &\nexit 125\n' \
      "$run" "$run" "$run" >"$run/scan/bridge/finish"
  fi
  if [ -n "${WOLF_BRIDGE_APP:-}" ]; then
    service app "$shown" -- env WAYLAND_DISPLAY=wayland-0 sh -c "cd; $WOLF_BRIDGE_APP"
    # it may end when it likes
    printf '#!/bin/sh\nexit 125\n' >"$run/scan/app/finish"
  fi
}

# becomes the supervisor of all that was given to service and bridge
# shellcheck disable=SC2016 # variables of the scripts it writes
supervise() {
  local signal
  declare -f >"$run/functions"
  {
    echo '#!/bin/sh'
    echo 'exec 8>&- 9>&-'
    echo "cd $run/scan || exit"
    printf 'for part in %s; do s6-svc -wD -T 5000 -d "$part" 2>/dev/null; done\n' "${services[*]}"
    # the bridge's end may have come before this, and ended it
    echo 'exec s6-svscanctl -t . 2>/dev/null'
  } >"$run/stop"
  # s6-svscan becomes this when all have ended
  printf '#!/bin/sh\n{ code=$(cat %s/code 2>/dev/null || echo 0); cd /; rm -rf %s; exit "$code"; }\n' "$run" "$run" >"$run/scan/.s6-svscan/finish"
  cp "$run/scan/.s6-svscan/finish" "$run/scan/.s6-svscan/crash"
  for signal in SIGTERM SIGINT SIGHUP SIGQUIT; do printf '#!/bin/sh\nexec %s/stop\n' "$run" >"$run/scan/.s6-svscan/$signal"; done
  chmod 755 "$run/stop" "$run"/scan/.s6-svscan/*
  trap - EXIT
  exec s6-svscan "$run/scan"
}
