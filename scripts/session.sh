# shellcheck shell=bash disable=SC2034
# Shared by the session scripts (guest-*, host-*), which run inside a rootfs, started by scripts/enter.
# A session prints one line `ready SOCKET`, then takes shell commands to run in it from stdin, a line each, and ends with its stdin.

: "${XDG_RUNTIME_DIR:?is unset: start this with scripts/enter}"
ME=$(basename "$0")
LOGS=$XDG_RUNTIME_DIR
export HOME=${HOME:-$XDG_RUNTIME_DIR/home}

# gives up with the reason and, if the program of that name wrote a log, the end of it
die() {
  echo "$ME: $1" >&2
  [ ! -s "$LOGS/${2:-}.log" ] || tail -n "${WB_LOG_LINES:-30}" "$LOGS/$2.log" | sed 's/^/    /' >&2
  exit "${3:-1}"
}

# software OpenGL where there is no GPU
gl() {
  if [ ! -e /dev/dri/renderD128 ]; then
    export LIBGL_ALWAYS_SOFTWARE=1
    # llvmpipe without this takes every core for small pictures
    export LP_NUM_THREADS=${LP_NUM_THREADS:-2}
  fi
}

# start NAME CMD…: in the background, with its output in NAME.log; the pid is in $started
start() {
  local name=$1
  shift
  "$@" >"$LOGS/$name.log" 2>&1 </dev/null &
  started=$!
}

# await SECONDS NAME PID CMD…: until CMD succeeds; fails when PID ends or the time is over (WB_PATIENCE times SECONDS)
await() {
  local until=$(($(date +%s) + $1 * ${WB_PATIENCE:-1})) name=$2 pid=$3
  shift 3
  until "$@" >/dev/null 2>&1; do
    kill -0 "$pid" 2>/dev/null || die "$name ended while starting" "$name"
    [ "$(date +%s)" -lt "$until" ] || die "$name did not answer in time ($*)" "$name"
    sleep "${WB_POLL:-0.05}"
  done
}

is_socket() { [ -S "$1" ]; }

over_and_over() { while :; do "$@" || true; done; }

# serve NAME PID: runs what stdin says until it ends (then the session does, with 0) or PID does (then with its code)
serve() {
  local name=$1 pid=$2 code=0
  trap 'exit 0' USR1
  {
    while IFS= read -r line; do
      bash -c "$line" >>"$LOGS/commands.log" 2>&1 </dev/null &
    done
    kill -USR1 $$
  } <&0 &
  wait "$pid" || code=$?
  die "$name ended with code $code" "$name" "$((code == 0 ? 1 : code))"
}

# start_sway WIDTH HEIGHT: headless sway whose only window fills its only output; sets $sway and WAYLAND_DISPLAY. $again may be a function
# that runs it
start_sway() {
  export SWAYSOCK=$XDG_RUNTIME_DIR/sway.sock XDG_CURRENT_DESKTOP=sway XDG_SESSION_TYPE=wayland
  export WLR_BACKENDS=headless WLR_LIBINPUT_NO_DEVICES=1 WLR_RENDERER=${WLR_RENDERER:-pixman}
  [ "$WLR_RENDERER" = pixman ] || gl
  rm -f "$SWAYSOCK" "$XDG_RUNTIME_DIR/sway.display"
  cat >"$XDG_RUNTIME_DIR/sway.config" <<X
xwayland disable
default_border none
default_floating_border none
focus_follows_mouse no
output HEADLESS-1 mode --custom $1x$2@60Hz position 0 0 scale 1
exec echo "\$WAYLAND_DISPLAY" > "$XDG_RUNTIME_DIR/sway.display"
X
  # shellcheck disable=SC2086 # $again is a word or nothing
  start sway ${again:-} sway -c "$XDG_RUNTIME_DIR/sway.config"
  sway=$started
  await 30 sway "$sway" test -s "$XDG_RUNTIME_DIR/sway.display"
  await 30 sway "$sway" swaymsg -t get_outputs
  WAYLAND_DISPLAY=$(cat "$XDG_RUNTIME_DIR/sway.display")
  export WAYLAND_DISPLAY
}

# start_bus: a session bus at $XDG_RUNTIME_DIR/bus, that what follows finds
start_bus() {
  export DBUS_SESSION_BUS_ADDRESS=unix:path=$XDG_RUNTIME_DIR/bus
  dbus-daemon --session --address="$DBUS_SESSION_BUS_ADDRESS" --fork || die "no session bus"
}

# start_pipewire: with its session manager, whose pid is in $wireplumber, and a server for PulseAudio's clients; needs gnome.sh
start_pipewire() {
  wireplumber_config "$XDG_CONFIG_HOME"
  start pipewire pipewire
  await 20 pipewire "$started" is_socket "$XDG_RUNTIME_DIR/pipewire-0"
  start wireplumber wireplumber
  wireplumber=$started
  start pipewire-pulse pipewire-pulse
}

# size_of WxH: sets $width and $height
size_of() {
  [[ ${1:-} =~ ^([1-9][0-9]*)x([1-9][0-9]*)$ ]] || die "usage: $ME WxH"
  width=${BASH_REMATCH[1]} height=${BASH_REMATCH[2]}
}
