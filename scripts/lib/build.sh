# cargo with progress, for the other scripts: source this file. shellcheck shell=bash
#
# On a terminal cargo draws its own bar. Elsewhere (a log of CI, a pipe) it would print one line per crate or, with --quiet,
# nothing for minutes: there `build` prints every 15 s how much is done and about how much is left, and passes on whatever
# else cargo says. Set MILLSTREAM_PROGRESS_S for another interval.

# Reads cargo's standard error and writes to ours.
_progress_lines() {
  local label=$1 every=${MILLSTREAM_PROGRESS_S:-15}
  local begun=$SECONDS next=$((SECONDS + every)) work=0 line partial='' done=0 all=0 first=-1 left
  while true; do
    if IFS= read -r -t 1 line; then
      line=$partial$line partial=''
      line=${line%$'\e[K'}
      line=${line##*$'\e[K'}
      if [[ $line =~ ^' '*(Building|Checking|Documenting)' ['.*'] '([0-9]+)/([0-9]+) ]]; then
        done=${BASH_REMATCH[2]} all=${BASH_REMATCH[3]} work=1
        # Crates done before the first compiler has ended were built by an earlier run: they say nothing about the pace.
        [ $first -lt 0 ] && first=$done
      elif ! [[ $line =~ ^' '*(Compiling|Checking|Documenting|Downloaded|Downloading|Fresh|Building|Updating|Locking|Adding|Fetch|Executable)' ' ]]; then
        printf '%s\n' "$line" >&2
      fi
    elif [ $? -gt 128 ]; then
      partial+=$line # a timeout within a line
    else
      break
    fi
    [ $SECONDS -lt $next ] && continue
    next=$((SECONDS + every))
    if [ $work -eq 0 ]; then
      printf '%s: downloading or waiting, %d s\n' "$label" $((SECONDS - begun)) >&2
    elif [ "$done" -gt "$first" ]; then
      left=$(((SECONDS - begun) * (all - done) / (done - first)))
      printf '%s: %d/%d crates, %d s, about %d s left\n' "$label" "$done" "$all" $((SECONDS - begun)) "$left" >&2
    else
      printf '%s: %d/%d crates, %d s\n' "$label" "$done" "$all" $((SECONDS - begun)) >&2
    fi
  done
}

# build LABEL CARGO-ARGUMENTS...: runs cargo. The exit code is cargo's; its standard output goes to ours.
build() {
  local label=$1
  shift
  if [ -t 2 ]; then
    cargo "$@"
    return
  fi
  local code
  {
    CARGO_TERM_PROGRESS_WHEN=always CARGO_TERM_PROGRESS_WIDTH=100 cargo "$@" 2>&1 >&3 |
      stdbuf -oL tr '\r' '\n' | _progress_lines "$label"
    code=${PIPESTATUS[0]}
  } 3>&1
  return "$code"
}

# Options of cargo, one per line, that build our own crates as a release does. They share the dependencies with the demo and
# the tests, which are compiled as for a release in any case (Cargo.toml, profile.dev).
as_released() {
  local crate setting
  sed -n 's/^\(millstream-[a-z]*\) = { opt-level.*/\1/p' Cargo.toml | while read -r crate; do
    for setting in opt-level=3 codegen-units=16 debug-assertions=false overflow-checks=false; do
      printf '%s\n' --config "profile.dev.package.$crate.$setting"
    done
  done
}

# Where cargo puts the programs.
programs() { printf '%s/debug' "${CARGO_TARGET_DIR:-target}"; }
