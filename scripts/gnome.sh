# shellcheck shell=bash
# What every start of a headless desktop needs (guest-* for tests and the demo, start-*-headless.sh for use): its buses, a quiet start, what its
# PipeWire and portals have to know, and the questions whether it is there.

# system_bus_config SOCKET: of a system bus that runs as any user and starts nothing
system_bus_config() {
  cat <<X
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=$1</listen>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
    <allow user="*"/>
  </policy>
</busconfig>
X
}

# services that GNOME Shell asks for and that a streamed desktop has no use for
no_services() {
  local services=$XDG_RUNTIME_DIR/dbus-1/services name
  mkdir -p "$services"
  for name in org.gnome.evolution.dataserver.{AddressBook10,Calendar8,Sources5,UserPrompter0} org.gnome.Shell.CalendarServer \
    org.gnome.OnlineAccounts org.gnome.Identity org.freedesktop.systemd1 org.freedesktop.secrets org.gnome.keyring \
    org.gnome.Shell.HotplugSniffer org.gtk.vfs.Daemon org.a11y.Bus org.freedesktop.ColorHelper; do
    printf '[D-BUS Service]\nName=%s\nExec=/bin/false\n' "$name" >"$services/$name.service"
  done
}

# extension DATA MAJOR: an extension for GNOME Shell MAJOR keeps the overview closed at start: without a monitor there is no other time
# to close it. DATA is one of the shell's data folders.
extension() {
  local name=quiet@wolf-bridge major=$2 dir
  dir=$1/gnome-shell/extensions/$name
  mkdir -p "$dir"
  printf '{"uuid":"%s","name":"quiet start","description":"no overview at start","shell-version":["%s"]}' "$name" "$major" >"$dir/metadata.json"
  # what both forms of an extension have in common
  local body='
    enable() {
        const had = Main.sessionMode.hasOverview;
        Main.sessionMode.hasOverview = false;
        Main.layoutManager.connect("startup-complete", () => {
            Main.sessionMode.hasOverview = had;
            // where the shell was quicker than this
            Main.overview.hide();
        });
    }
    disable() {}
}'
  if [ "$major" -ge 45 ]; then
    printf '%s\n' "import * as Main from 'resource:///org/gnome/shell/ui/main.js';" "export default class {$body"
  else
    printf '%s\n' 'const Main = imports.ui.main;' "class Quiet {$body" 'function init() { return new Quiet(); }'
  fi >"$dir/extension.js"
}

# the shell would say at its first start, and leave it there, that it locks no screen without a display manager
no_lock_banner() {
  mkdir -p "$XDG_DATA_HOME/gnome-shell"
  : >"$XDG_DATA_HOME/gnome-shell/lock-warning-shown"
}

# quiet_settings: no tour, no overview at start, never idle, never locked; as a keyfile.
quiet_settings() {
  cat <<'X'
[org/gnome/shell]
welcome-dialog-last-shown-version='9999'
enabled-extensions=['quiet@wolf-bridge']

[org/gnome/desktop/session]
idle-delay=uint32 0

[org/gnome/desktop/lockdown]
disable-lock-screen=true

[org/gnome/desktop/screensaver]
lock-enabled=false
idle-activation-enabled=false
X
}

# whether a portal shares screens: the frontend says so when it has found its backend
portal_records() { property org.freedesktop.portal.Desktop /org/freedesktop/portal/desktop org.freedesktop.portal.ScreenCast AvailableSourceTypes; }

# wlr_portal_config CONFIG [LINES]: for sway's portal with CONFIG as its XDG_CONFIG_HOME; it records HEADLESS-1, and asks nobody, unless
# LINES say otherwise.
wlr_portal_config() {
  mkdir -p "$1"/xdg-desktop-portal{,-wlr}
  printf '[screencast]\n%b\n' "${2:-output_name=HEADLESS-1\nchooser_type=none}" >"$1/xdg-desktop-portal-wlr/config"
  printf '[preferred]\ndefault=none\norg.freedesktop.impl.portal.ScreenCast=wlr\n' >"$1/xdg-desktop-portal/portals.conf"
}

# wireplumber_config CONFIG: for a WirePlumber with CONFIG as its XDG_CONFIG_HOME.
wireplumber_config() {
  local dir=$1/wireplumber
  mkdir -p "$dir"/{main,bluetooth}.lua.d "$dir/wireplumber.conf.d"
  # no Bluetooth: WirePlumber 0.4 ends when that part finds no logind
  echo 'bluez_monitor.enabled = false' >"$dir/bluetooth.lua.d/80-off.lua"
  echo 'wireplumber.profiles = { main = { monitor.bluez = disabled, monitor.bluez-midi = disabled, support.logind = disabled } }' \
    >"$dir/wireplumber.conf.d/80-off.conf"
  # PipeWire 0.3 takes a client whose process it cannot see, as those outside these namespaces, for a sandboxed one
  cat >"$dir/main.lua.d/80-access.lua" <<'X'
default_access.properties["enable-flatpak-portal"] = false
default_access.rules = { { matches = { { { "pipewire.access", "=", "flatpak" } } }, default_permissions = "all" } }
X
}

# dbus-send: the lightest there is, which counts where the processor is emulated
call() { dbus-send --session --print-reply --dest="$1" "${@:2}"; }
has_name() { call org.freedesktop.DBus / org.freedesktop.DBus.NameHasOwner "string:$1" | grep -q true; }
property() { call "$1" "$2" org.freedesktop.DBus.Properties.Get "string:$3" "string:$4"; }
answers() {
  [ -S "$XDG_RUNTIME_DIR/wayland-0" ] && has_name org.gnome.Mutter.ScreenCast && has_name org.gnome.Mutter.RemoteDesktop &&
    property org.gnome.Mutter.ScreenCast /org/gnome/Mutter/ScreenCast org.gnome.Mutter.ScreenCast Version &&
    property org.gnome.Mutter.RemoteDesktop /org/gnome/Mutter/RemoteDesktop org.gnome.Mutter.RemoteDesktop Version &&
    property org.gnome.Shell /org/gnome/Shell org.gnome.Shell ShellVersion
}

# true once the overview is closed; closes it
no_overview() {
  property org.gnome.Shell /org/gnome/Shell org.gnome.Shell OverviewActive | grep -q false && return
  call org.gnome.Shell /org/gnome/Shell org.freedesktop.DBus.Properties.Set string:org.gnome.Shell string:OverviewActive variant:boolean:false
  return 1
}
