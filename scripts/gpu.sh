# shellcheck shell=bash
# Which GPU a desktop draws on: the host's, or none (in software). Whoever draws on another one makes the host copy every frame, or refuse it.

# can_open NODE: permissions do not tell, a container's device rules count too
can_open() { [ -e "$1" ] && (exec 3<>"$1") 2>/dev/null; }

# choose_gpu HOST DIR: prints the render node in DIR (/dev/dri) to draw on, for a host that draws on HOST (a render node; any: it does not say;
# none). Prints nothing where the desktop is to be drawn in software, and says why.
choose_gpu() {
  local node=$2/${1##*/} in_software="the desktop is drawn in software"
  case $1 in
    none) say "the host has no GPU: $in_software" ;;
    any)
      for node in "$2"/renderD*; do
        ! can_open "$node" || { echo "$node" && return; }
      done
      say "there is no GPU in $2 that this user may open: $in_software"
      ;;
    *)
      if [ ! -e "$node" ]; then
        say "the host draws on $1, which is not here: $in_software; give this container that device too"
      elif ! can_open "$node"; then
        say "the host draws on $1, which this user may not open: $in_software; put them into the group of that device (it is $(stat -c '%g, mode %a' "$node"))"
      else
        echo "$node"
      fi
      ;;
  esac
}

# draw_on NODE DIR: has a desktop that is started by the words in $draws draw on that node, or in software (NODE is empty): Mutter takes one of
# those that it can open by rules of its own, so that the others in DIR are kept from it, where a namespace for that may be made
draw_on() {
  local other others=()
  for other in "$2"/renderD*; do
    if [ "$other" != "$1" ] && can_open "$other"; then others+=("$other"); fi
  done
  draws=()
  if [ ${#others[@]} -gt 0 ]; then
    # shellcheck disable=SC2016 # its own variables
    draws=(unshare --user --map-current-user --keep-caps --mount -- sh -c
      'for node in $0; do mount --bind /dev/null "$node" || exit 1; done; exec setpriv --ambient-caps -all --inh-caps -all -- "$@"' "${others[*]}")
    "${draws[@]}" true 2>/dev/null || {
      say "the desktop may draw on ${others[*]} instead of ${1:-nothing}, which cannot be prevented here: give this container no other GPU than the host's"
      draws=()
      return
    }
  fi
  [ -n "$1" ] || export LIBGL_ALWAYS_SOFTWARE=1
}
