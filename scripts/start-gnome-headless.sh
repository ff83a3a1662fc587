#!/bin/bash
# start-gnome-headless.sh [BRIDGE-OPTION…]: a headless GNOME of its own, with its buses, PipeWire and sound, and wolf-bridge, which shows it in
# the window of a host, on whose GPU it draws (gpu.sh). supervise.sh and sound.sh say how it lives and ends, and list the environment that all
# desktops heed. Here come:
#   XKB_DEFAULT_LAYOUT, _VARIANT, _OPTIONS  the keyboard layout of a desktop that has none set yet
# shellcheck disable=SC2317,SC2329 # s6 calls functions
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/supervise.sh"
. "$here/gnome.sh"
. "$here/sound.sh"
. "$here/gpu.sh"

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
  {
    quiet_settings
    printf "\n[org/gnome/settings-daemon/plugins/power]\nsleep-inactive-ac-type='nothing'\n"
    printf '\n[org/gnome/desktop/input-sources]\n'
    [ -z "$sources" ] || printf 'sources=[%s]\n' "$sources"
    [[ ! ${XKB_DEFAULT_OPTIONS:-} =~ ^[A-Za-z0-9_:,-]+$ ]] || printf "xkb-options=['%s']\n" "${XKB_DEFAULT_OPTIONS//,/\', \'}"
  } >"$run/dconf/defaults.d/wolf-bridge"
  echo /org/gnome/desktop/lockdown/disable-lock-screen >"$run/dconf/defaults.d/locks/wolf-bridge"
  dconf compile "$run/dconf/defaults" "$run/dconf/defaults.d" || die "dconf does not compile the desktop's defaults"
  printf 'user-db:user\nfile-db:%s\n' "$run/dconf/defaults" >"$run/dconf/profile"
  export DCONF_PROFILE=$run/dconf/profile
}

check_gnome() { answers; }
check_bus() { has_name org.freedesktop.DBus; }
check_system() { [ -S "$XDG_RUNTIME_DIR/system_bus" ]; }
# shown: the guest has the monitor that the bridge made
check_bridge() { call org.gnome.Mutter.DisplayConfig /org/gnome/Mutter/DisplayConfig org.gnome.Mutter.DisplayConfig.GetCurrentState | grep -q 'Meta-'; }

make_gnome() {
  local version
  export XDG_CURRENT_DESKTOP=GNOME XDG_SESSION_DESKTOP=gnome NO_AT_BRIDGE=1 GTK_A11Y=none
  export XDG_DATA_DIRS=$run/share:${XDG_DATA_DIRS:-/usr/local/share:/usr/share}
  # a container has no drives to come and go
  export GVFS_REMOTE_VOLUME_MONITOR_IGNORE=1
  version=$(gnome-shell --version | awk '{print $3}')
  extension "$run/share" "${version%%.*}"
  no_services
  no_lock_banner
  make_settings
}

begin gnome-shell dconf dbus-daemon pipewire wireplumber pipewire-pulse
gpu=$(host_gpu "$@")
gpu=$(choose_gpu "$gpu" /dev/dri)
draw_on "$gpu" /dev/dri
make_gnome
system_bus_config "$run/system_bus" >"$run/etc/system.conf"
service system -- dbus-daemon --config-file="$run/etc/system.conf" --nofork --nopidfile
service bus -- dbus-daemon --session --address="$DBUS_SESSION_BUS_ADDRESS" --nofork --nopidfile
sound system
# the file is a mark of a crash: the shell would start without extensions
service gnome bus system pipewire -- "${draws[@]}" sh -c "cd; rm -f '$run/gnome-shell-disable-extensions'; exec gnome-shell --headless --wayland --no-x11 --wayland-display wayland-0"
bridge gnome "$@"
supervise
