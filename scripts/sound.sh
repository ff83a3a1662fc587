# shellcheck shell=bash
# The sound of a desktop that is used: a PipeWire of its own, which PulseAudio's programs find too, and whose default sink and microphone are
# tunnels to a sound server outside (Wolf's). They come when it does, and again after it was away; until then, and where there is none, sound
# goes to a sink that nobody hears. To be sourced beside supervise.sh and gnome.sh.
#
# Environment:
#   PULSE_SERVER, PULSE_SINK, PULSE_SOURCE  where sound goes and the microphone comes from; without PULSE_SERVER there is silence
#   WOLF_BRIDGE_SOUND_LATENCY  (40) milliseconds of sound that a tunnel holds, 10 to 2000: more where it breaks off, less for quick games
# shellcheck disable=SC2154,SC2317,SC2329 # $run is of supervise.sh; s6 calls functions

# quoted TEXT: as a string of SPA's JSON
quoted() {
  local text=${1//\\/\\\\}
  printf '"%s"' "${text//\"/\\\"}"
}

# tunnel MODE NAME DESCRIPTION PRIORITY TARGET: a sink or source whose other end is at PULSE_SERVER. The graph hands it sound in pieces of 11 ms: one
# of them is to be small beside what the tunnel holds, whatever the player asks for, but programs are to have time for one.
tunnel() {
  cat <<X
  { name = libpipewire-module-pulse-tunnel
    args = {
      tunnel.mode = $1
      pulse.server.address = $(quoted "$PULSE_SERVER")
      pulse.latency = ${WOLF_BRIDGE_SOUND_LATENCY:-40}
      reconnect.interval.ms = 1000
      audio.rate = 48000
      audio.position = [ FL FR ]
      node.name = $2
      node.description = "$3"
      node.latency = 512/48000
      ${5:+target.object = $(quoted "$5")}
      stream.props = { priority.session = $4 }
    }
  }
X
}

# a process of their own: whatever the server does, PipeWire goes on. The microphone comes before the monitor of the sink, which is a source too.
tunnels() {
  local modules
  modules=$(tunnel sink wolf-sink Wolf 2000 "${PULSE_SINK:-}")
  [ -z "${PULSE_SOURCE:-}" ] || modules+=$'\n'$(tunnel source wolf-microphone Microphone 3000 "$PULSE_SOURCE")
  cat <<X
context.properties = { log.level = 2 }
context.spa-libs = { audio.convert.* = audioconvert/libspa-audioconvert support.* = support/libspa-support }
context.modules = [
  { name = libpipewire-module-rt args = { nice.level = -11 } flags = [ ifexists nofail ] }
  { name = libpipewire-module-protocol-native }
  { name = libpipewire-module-client-node }
  { name = libpipewire-module-adapter }
$modules
]
X
}

# the sink that nobody hears, where there is no other
silence() {
  cat <<'X'
context.objects = [
  { factory = adapter
    args = {
      factory.name = support.null-audio-sink
      node.name = silence
      node.description = "Silence"
      media.class = Audio/Sink
      audio.position = [ FL FR ]
      priority.session = 1
      monitor.channel-volumes = true
    }
  }
]
X
}

# tunnels_log SERVER: the tunnels write every second that they cannot reach it; of that a line whenever the reason is another one
tunnels_log() {
  local line said=
  while IFS= read -r line; do
    case $line in *'connection failure: '* | *'failed to connect: '*) line=${line##*: } ;; *) continue ;; esac
    case $line in OK | "$said") continue ;; esac
    said=$line
    echo "sound: silence until the sound server answers at PULSE_SERVER ($1) and has PULSE_SINK and PULSE_SOURCE: $line"
  done
}

check_pipewire() { [ -S "$XDG_RUNTIME_DIR/pipewire-0" ]; }
check_pulse() { [ -S "$XDG_RUNTIME_DIR/pulse/native" ]; }

# no_devices CONFIG: WirePlumber leaves those of the machine alone
no_devices() {
  local dir=$1/wireplumber
  printf 'alsa_monitor.enabled = false\nv4l2_monitor.enabled = false\n' >"$dir/main.lua.d/80-devices.lua"
  echo 'wireplumber.profiles = { main = { monitor.alsa = disabled, monitor.alsa-midi = disabled, monitor.v4l2 = disabled, monitor.libcamera = disabled } }' \
    >"$dir/wireplumber.conf.d/80-devices.conf"
}

# sound PART…: the services pipewire, session (its manager, which waits for these parts), pulse and sound (the tunnels), after one called bus
sound() {
  local etc=$run/etc
  number WOLF_BRIDGE_SOUND_LATENCY 10 2000
  mkdir -p "$etc/pipewire/pipewire.conf.d"
  silence >"$etc/pipewire/pipewire.conf.d/silence.conf"
  wireplumber_config "$etc"
  no_devices "$etc"
  service pipewire bus -- env XDG_CONFIG_HOME="$etc" pipewire
  service session pipewire "$@" -- env XDG_CONFIG_HOME="$etc" wireplumber
  service pulse pipewire -- pipewire-pulse
  if [ -n "${PULSE_SERVER:-}" ]; then
    tunnels >"$etc/sound.conf"
    service sound pipewire -- pipewire -c "$etc/sound.conf"
    # it ends at once where nobody listens yet, and may do so for ever
    printf '#!/bin/sh\nexit 0\n' >"$run/scan/sound/finish"
    printf '#!/bin/bash\nexec 8>&- 9>&-\n. %q/functions\ntunnels_log %q\n' "$run" "$PULSE_SERVER" >"$run/scan/sound/log/run"
  fi
  unset PULSE_SERVER PULSE_SINK PULSE_SOURCE
}
