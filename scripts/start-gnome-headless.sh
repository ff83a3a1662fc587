#!/bin/bash
# start-gnome-headless.sh [BRIDGE-OPTION…]: a headless GNOME of its own, with its buses, PipeWire and sound, and wolf-bridge, which shows it in
# the window of a host. All of it is supervised (s6): a part that ends is started again, and when the bridge has ended, all ends, with its exit code.
# SIGTERM and SIGINT end everything in order. Nothing of it is at a fixed path: any number of them run beside each other.
#
# Environment:
#   WAYLAND_DISPLAY, XDG_RUNTIME_DIR  the host; kept from the desktop. Without WAYLAND_DISPLAY there is no bridge, only the desktop
#   GAMESCOPE_WIDTH, _HEIGHT, _REFRESH  size and rate of the window until the host says better
#   XKB_DEFAULT_LAYOUT, _VARIANT, _OPTIONS  the keyboard layout of a desktop that has none set yet
#   PULSE_SERVER, PULSE_SINK, PULSE_SOURCE  where sound goes and the microphone comes from; without PULSE_SERVER there is silence
#   WOLF_BRIDGE_APP     a command to start in the desktop, once it is shown
#   WOLF_BRIDGE_ARGS    more options for wolf-bridge
#   WOLF_BRIDGE_NAME    (desktop) settings of the desktop are kept under this name, apart from your own; empty: they are those of HOME
#   WOLF_BRIDGE_RUN     (/tmp, or what else there is) where the folder for its sockets is made
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/gnome.sh"

say() { echo "wolf-bridge: $1" >&2; }
die() {
  say "$1"
  exit "${2:-1}"
}

# what is wrong with the environment is told before anything starts
check() {
  local program name value
  for program in s6-svscan gnome-shell pipewire wireplumber pipewire-pulse dbus-daemon dconf; do
    command -v "$program" >/dev/null || die "$program is not installed here; container/packages lists what is needed"
  done
  for name in GAMESCOPE_WIDTH GAMESCOPE_HEIGHT GAMESCOPE_REFRESH; do
    value=${!name:-}
    [ -z "$value" ] || [[ $value =~ ^[1-9][0-9]{0,4}$ ]] || {
      say "$name is '$value', which is no number of 1 or more: it is ignored"
      unset "$name"
    }
  done
  if [ -n "${WAYLAND_DISPLAY:-}" ]; then
    command -v "${WOLF_BRIDGE:-wolf-bridge}" >/dev/null || die "wolf-bridge is not in PATH; WOLF_BRIDGE can say where it is"
    case $WAYLAND_DISPLAY in
      /*) host=$WAYLAND_DISPLAY ;;
      *)
        [ -n "${XDG_RUNTIME_DIR:-}" ] || die "WAYLAND_DISPLAY is '$WAYLAND_DISPLAY', but XDG_RUNTIME_DIR is unset: where is the host's socket?" 3
        host=$XDG_RUNTIME_DIR/$WAYLAND_DISPLAY
        ;;
    esac
  fi
}

# a folder that only we can look into, and that programs may be started from: s6 starts its scripts there
make_run() {
  local base bases=("${WOLF_BRIDGE_RUN:-/tmp}") free
  [ -n "${WOLF_BRIDGE_RUN:-}" ] || bases+=(/run/wolf-bridge /var/tmp "$HOME")
  for base in "${bases[@]}"; do
    run=$(mktemp -d "$base/wolf-bridge.XXXXXX" 2>/dev/null) || continue
    free=$(df -Pk "$run" | awk 'NR == 2 {print $4}')
    # a socket's path has 108 bytes
    if [ ${#run} -le 60 ] && [ "$free" -ge 16384 ] && echo '#!/bin/sh' >"$run/try" && chmod 700 "$run/try" && "$run/try" 2>/dev/null; then break; fi
    rm -rf "$run"
    run=
  done
  [ -n "$run" ] || die "no folder for the desktop's sockets can be made in ${bases[*]}: one that is writable, not mounted noexec, with 16 MB free and a path of at most 40 bytes is needed; WOLF_BRIDGE_RUN can name another"
  trap 'rm -rf "$run"' EXIT
  rm "$run/try"
  chmod 700 "$run"
  mkdir "$run/scan" "$run/scan/.s6-svscan" "$run/etc"
}

# settings of its own, unless they are to be those of HOME; two desktops with the same ones would overwrite each other's
make_home() {
  local name=${WOLF_BRIDGE_NAME-desktop} dir
  if [ -n "$name" ]; then
    case $name in */* | .*) die "WOLF_BRIDGE_NAME is '$name': a name without slashes is needed" 2 ;; esac
    dir=${XDG_STATE_HOME:-$HOME/.local/state}/wolf-bridge/$name
    export XDG_CONFIG_HOME=$dir/config XDG_DATA_HOME=$dir/data XDG_CACHE_HOME=$dir/cache XDG_STATE_HOME=$dir/state
  else
    export XDG_CONFIG_HOME=${XDG_CONFIG_HOME:-$HOME/.config} XDG_DATA_HOME=${XDG_DATA_HOME:-$HOME/.local/share}
    export XDG_CACHE_HOME=${XDG_CACHE_HOME:-$HOME/.cache} XDG_STATE_HOME=${XDG_STATE_HOME:-$HOME/.local/state}
  fi
  mkdir -p "$XDG_CONFIG_HOME" "$XDG_DATA_HOME" "$XDG_CACHE_HOME" "$XDG_STATE_HOME" 2>/dev/null ||
    die "cannot write to $XDG_CONFIG_HOME (is $HOME writable and not full?)"
  # held by s6-svscan, until the end
  exec 9>"$XDG_STATE_HOME/wolf-bridge.lock" || die "cannot write to $XDG_STATE_HOME"
  flock -n 9 || die "a desktop named '$name' runs already; set WOLF_BRIDGE_NAME to another name"
}

# defaults below the user's own settings: quiet, never locked, and with the layout of the environment
make_settings() {
  local sources='' layouts variants i
  IFS=, read -ra layouts <<<"${XKB_DEFAULT_LAYOUT:-}"
  IFS=, read -ra variants <<<"${XKB_DEFAULT_VARIANT:-}"
  for i in "${!layouts[@]}"; do
    [[ ${layouts[i]}${variants[i]:-} =~ ^[A-Za-z0-9_-]+$ ]] || { say "XKB_DEFAULT_LAYOUT and _VARIANT name no layout: they are ignored"; sources='' && break; }
    sources+="${sources:+, }('xkb', '${layouts[i]}${variants[i]:++${variants[i]}}')"
  done
  mkdir -p "$run/dconf/defaults.d/locks"
  quiet_settings >"$run/dconf/defaults.d/wolf-bridge"
  printf "\n[org/gnome/settings-daemon/plugins/power]\nsleep-inactive-ac-type='nothing'\n" >>"$run/dconf/defaults.d/wolf-bridge"
  [ -z "$sources" ] || printf '\n[org/gnome/desktop/input-sources]\nsources=[%s]\n' "$sources" >>"$run/dconf/defaults.d/wolf-bridge"
  if [[ ${XKB_DEFAULT_OPTIONS:-} =~ ^[a-z0-9_:,]+$ ]]; then
    printf "xkb-options=['%s']\n" "${XKB_DEFAULT_OPTIONS//,/\', \'}" >>"$run/dconf/defaults.d/wolf-bridge"
  fi
  echo /org/gnome/desktop/lockdown/disable-lock-screen >"$run/dconf/defaults.d/locks/wolf-bridge"
  dconf compile "$run/dconf/defaults" "$run/dconf/defaults.d" || die "dconf does not compile the desktop's defaults"
  printf 'user-db:user\nfile-db:%s\n' "$run/dconf/defaults" >"$run/dconf/profile"
  export DCONF_PROFILE=$run/dconf/profile
}

# no devices of the machine
make_wireplumber() {
  local dir=$run/etc/wireplumber
  wireplumber_config "$run/etc"
  printf 'alsa_monitor.enabled = false\nv4l2_monitor.enabled = false\n' >"$dir/main.lua.d/80-devices.lua"
  echo 'wireplumber.profiles = { main = { monitor.alsa = disabled, monitor.alsa-midi = disabled, monitor.v4l2 = disabled, monitor.libcamera = disabled } }' \
    >"$dir/wireplumber.conf.d/80-devices.conf"
}

# quoted TEXT: as a string of SPA's JSON
quoted() {
  local text=${1//\\/\\\\}
  printf '"%s"' "${text//\"/\\\"}"
}

# tunnel MODE NAME DESCRIPTION TARGET: a sink or source whose other end is at PULSE_SERVER, and comes back with it
tunnel() {
  cat <<X
  { name = libpipewire-module-pulse-tunnel
    args = {
      tunnel.mode = $1
      pulse.server.address = $(quoted "$PULSE_SERVER")
      pulse.latency = ${WOLF_BRIDGE_SOUND_LATENCY:-40}
      reconnect.interval.ms = 2000
      audio.rate = 48000
      audio.position = [ FL FR ]
      node.name = $2
      node.description = "$3"
      ${4:+target.object = $(quoted "$4")}
      stream.props = { priority.session = 2000 priority.driver = 2000 }
    }
  }
X
}

make_sound() {
  local modules='' objects=''
  if [ -n "${PULSE_SERVER:-}" ]; then
    modules=$(tunnel sink wolf-sink "Wolf" "${PULSE_SINK:-}")
    [ -z "${PULSE_SOURCE:-}" ] || modules+=$'\n'$(tunnel source wolf-microphone "Microphone" "$PULSE_SOURCE")
  else
    objects='{ factory = adapter args = { factory.name = support.null-audio-sink node.name = silence node.description = "Silence"
      media.class = Audio/Sink audio.position = [ FL FR ] object.linger = false priority.session = 1000 monitor.channel-volumes = true } }'
  fi
  cat >"$run/etc/sound.conf" <<X
context.properties = { log.level = 1 }
context.spa-libs = { audio.convert.* = audioconvert/libspa-audioconvert support.* = support/libspa-support }
context.modules = [
  { name = libpipewire-module-rt flags = [ ifexists nofail ] }
  { name = libpipewire-module-protocol-native }
  { name = libpipewire-module-client-node }
  { name = libpipewire-module-adapter }
$modules
]
context.objects = [ $objects ]
X
}

# service NAME [AFTER…] -- CMD…: a supervised part that waits until others are ready, with its name before each line it writes.
# A function check_NAME, if there is one, says when it is ready itself.
service() {
  local name=$1 dir=$run/scan/$1 after=() check=()
  shift
  while [ "$1" != -- ]; do
    after+=("../$1")
    shift
  done
  shift
  mkdir -p "$dir/data" "$dir/log"
  if declare -f "check_$name" >/dev/null; then
    echo 3 >"$dir/notification-fd"
    {
      echo '#!/bin/bash'
      declare -f call has_name property answers "check_$name"
      echo "check_$name >/dev/null 2>&1"
    } >"$dir/data/check"
    check=(s6-notifyoncheck -d -n 0 -w 100 -s 50)
    chmod 755 "$dir/data/check"
  fi
  {
    echo '#!/bin/sh'
    echo 'exec 2>&1 9>&-'
    [ ${#after[@]} = 0 ] || echo "s6-svwait -U ${after[*]} || exit 1"
    printf 'exec'
    printf ' %q' "${check[@]}" "$@"
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
  printf '#!/bin/sh\nexec 9>&-\nexec s6-log -b "p%s: " 1\n' "$name" >"$dir/log/run"
  echo 4000 >"$dir/timeout-kill"
  chmod 755 "$dir/run" "$dir/finish" "$dir/log/run"
  services=("$name" "${services[@]}")
}

check_pipewire() { [ -S "$XDG_RUNTIME_DIR/pipewire-0" ]; }
check_pulse() { [ -S "$XDG_RUNTIME_DIR/pulse/native" ]; }
check_gnome() { answers; }
check_bus() { has_name org.freedesktop.DBus; }
check_system() { [ -S "$XDG_RUNTIME_DIR/system_bus" ]; }
# shown: the guest has the monitor that the bridge made
check_bridge() { call org.gnome.Mutter.DisplayConfig /org/gnome/Mutter/DisplayConfig org.gnome.Mutter.DisplayConfig.GetCurrentState | grep -q 'Meta-'; }

make_services() {
  local gnome=(gnome-shell --headless --wayland --no-x11 --wayland-display wayland-0)
  services=()
  service system -- dbus-daemon --config-file="$run/etc/system.conf" --nofork --nopidfile
  service bus -- dbus-daemon --session --address="$DBUS_SESSION_BUS_ADDRESS" --nofork --nopidfile
  service pipewire bus -- pipewire
  service session pipewire system -- env XDG_CONFIG_HOME="$run/etc" wireplumber
  service pulse pipewire -- pipewire-pulse
  service sound pipewire -- pipewire -c "$run/etc/sound.conf"
  # a mark of a crash: the shell would start without extensions
  service gnome bus system pipewire -- sh -c "rm -f '$run/gnome-shell-disable-extensions'; exec ${gnome[*]}"
  if [ -n "${host:-}" ]; then
    # shellcheck disable=SC2086 # a list of words
    service bridge gnome -- "${WOLF_BRIDGE:-wolf-bridge}" --host "$host" ${WOLF_BRIDGE_ARGS:-} "$@"
    # the bridge's end is the end of all
    # shellcheck disable=SC2016 # its own variables
    printf '#!/bin/sh\ncode=$1\n[ "$1" -lt 256 ] || code=$((128 + $2))\n[ -e %s/code ] || echo "$code" >%s/code\n%s/stop &\nexit 125\n' \
      "$run" "$run" "$run" >"$run/scan/bridge/finish"
  fi
  if [ -n "${WOLF_BRIDGE_APP:-}" ]; then
    service app "$([ -n "$host" ] && echo bridge || echo gnome)" -- env WAYLAND_DISPLAY=wayland-0 sh -c "$WOLF_BRIDGE_APP"
    printf '#!/bin/sh\nexit 125\n' >"$run/scan/app/finish"
  fi
}

# how all of it ends: what looks at others before what is looked at
# shellcheck disable=SC2016 # their own variables
make_ends() {
  {
    echo '#!/bin/sh'
    echo 'exec 9>&-'
    echo "cd $run/scan || exit"
    printf 'for part in %s; do s6-svc -wD -T 5000 -d "$part" 2>/dev/null; done\n' "${services[*]}"
    echo 'exec s6-svscanctl -t .'
  } >"$run/stop"
  # s6-svscan becomes this when all have ended
  printf '#!/bin/sh\n{ code=$(cat %s/code 2>/dev/null || echo 0); cd /; rm -rf %s; exit "$code"; }\n' "$run" "$run" >"$run/scan/.s6-svscan/finish"
  cp "$run/scan/.s6-svscan/finish" "$run/scan/.s6-svscan/crash"
  for signal in SIGTERM SIGINT SIGHUP SIGQUIT; do printf '#!/bin/sh\nexec %s/stop\n' "$run" >"$run/scan/.s6-svscan/$signal"; done
  chmod 755 "$run/stop" "$run"/scan/.s6-svscan/*
}

host='' run=''
check
make_run
make_home
make_sound
export XDG_RUNTIME_DIR=$run DBUS_SESSION_BUS_ADDRESS=unix:path=$run/bus DBUS_SYSTEM_BUS_ADDRESS=unix:path=$run/system_bus
export PIPEWIRE_RUNTIME_DIR=$run XDG_SESSION_TYPE=wayland XDG_CURRENT_DESKTOP=GNOME XDG_SESSION_CLASS=user XDG_SESSION_DESKTOP=gnome
export XDG_DATA_DIRS=$run/share:${XDG_DATA_DIRS:-/usr/local/share:/usr/share} NO_AT_BRIDGE=1 GTK_A11Y=none
# a container has no drives to come and go
export GVFS_REMOTE_VOLUME_MONITOR_IGNORE=1
unset WAYLAND_DISPLAY WAYLAND_SOCKET DISPLAY PULSE_SERVER PULSE_SINK PULSE_SOURCE PIPEWIRE_REMOTE DBUS_STARTER_ADDRESS
if [ ! -e /dev/dri/renderD128 ]; then export LIBGL_ALWAYS_SOFTWARE=1; fi
version=$(gnome-shell --version | awk '{print $3}')
extension "$run/share" "${version%%.*}"
no_services
system_bus_config "$run/system_bus" >"$run/etc/system.conf"
make_wireplumber
make_settings
make_services "$@"
make_ends
trap - EXIT
exec s6-svscan "$run/scan"
