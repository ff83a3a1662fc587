#!/bin/bash
# start-sway-headless.sh [BRIDGE-OPTION…]: a headless sway of its own, with its bus, PipeWire and sound: the lightest desktop, for programs that
# need no more, and for many at once. supervise.sh and sound.sh, beside this, say how it lives and ends, and list the environment that it heeds.
# shellcheck disable=SC2154,SC2317,SC2329 # $run is of supervise.sh; s6 calls functions
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/supervise.sh"
. "$here/gnome.sh"
. "$here/sound.sh"

check_bus() { has_name org.freedesktop.DBus; }
check_sway() { [ -S "$XDG_RUNTIME_DIR/wayland-0" ] && swaymsg -t get_outputs; }
check_wlr() { has_name org.freedesktop.impl.portal.desktop.wlr; }
check_portal() { portal_records; }

make_sway() {
  export XDG_CURRENT_DESKTOP=sway SWAYSOCK=$run/sway.sock WLR_BACKENDS=headless WLR_LIBINPUT_NO_DEVICES=1
  if [ ! -e /dev/dri/renderD128 ]; then export WLR_RENDERER=${WLR_RENDERER:-pixman}; fi
  cat >"$run/etc/sway.config" <<X
xwayland disable
output HEADLESS-1 mode --custom ${GAMESCOPE_WIDTH:-1280}x${GAMESCOPE_HEIGHT:-720}@${GAMESCOPE_REFRESH:-60}Hz position 0 0 scale 1
exec ln -sfT "\$WAYLAND_DISPLAY" "$run/wayland-0"
X
}

begin sway dbus-daemon pipewire wireplumber pipewire-pulse
make_sway
wlr_portal_config "$run/etc"
service bus -- dbus-daemon --session --address="$DBUS_SESSION_BUS_ADDRESS" --nofork --nopidfile
sound bus
service sway bus -- sway -c "$run/etc/sway.config"
if [ -n "$host" ]; then
  portal=(env XDG_CONFIG_HOME="$run/etc" WAYLAND_DISPLAY=wayland-0)
  service wlr sway pipewire -- "${portal[@]}" /usr/libexec/xdg-desktop-portal-wlr
  service portal wlr -- "${portal[@]}" /usr/libexec/xdg-desktop-portal
  bridge portal --guest wlroots --guest-socket wayland-0 "$@"
else
  bridge sway
fi
supervise
