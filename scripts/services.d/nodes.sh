# shellcheck shell=bash
# Nodes in the background: DIR has for every node N its folder nodeN, nodeN.log and nodeN.pid, and for all of them the
# files kind, ports (a line a node), settings (the environment of the first start) and env (what a client needs).

start_seconds=90   # on a busy machine; an idle one needs a tenth
stop_seconds=20
remembered=(HEAP EXTRA_PROPS EXTRA_YML JAVA JDK_21_OR_LATER OPENSEARCH_VERSION
  CLUSTER_ID KAFKA_SASL KAFKA_SASL_USER KAFKA_SASL_PASSWORD)
declare -A log_mark   # where in its log a node's present run begins

# free_ports COUNT: from below the range that the kernel takes for outgoing connections. A port of that range could be
# taken while its node is down, and a client that tries to reach the dead node could even be connected to itself.
free_ports() {
  perl -MSocket -e '
    my ($count, $low) = ($ARGV[0], 32768);
    if (open my $range, "<", "/proc/sys/net/ipv4/ip_local_port_range") { ($low) = split " ", <$range> }
    my ($first, $last) = $low > 12000 ? (10000, $low - 1) : (10000, 65535);
    my @held;
    for (1 .. 10000) {
      last if @held == $count;
      my $port = $first + int rand($last - $first + 1);
      socket(my $socket, PF_INET, SOCK_STREAM, 0) or die "socket: $!";
      bind($socket, pack_sockaddr_in($port, INADDR_LOOPBACK)) or next;
      push @held, $socket;
      print "$port\n";
    }
    exit(@held != $count);' "$1" || die 'no free ports'
}

# The settings of the first start hold for the later ones, as far as the environment does not say otherwise.
remember_settings() {
  local name
  for name in "${remembered[@]}"; do
    # shellcheck disable=SC2016 # expanded when it is read again
    if [ -n "${!name+x}" ]; then printf '[ -n "${%s+x}" ] || export %s=%q\n' "$name" "$name" "${!name}"; fi
  done
}

# alive DIR N: the process in the pid file runs and is this node, not a stranger that was given its number later.
alive() {
  local pid
  pid=$(cat "$1/node$2.pid" 2>/dev/null) && [ -n "$pid" ] || return 1
  [[ $(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline") == *"$1/node$2"* ]]
}

node_numbers() { cut -d' ' -f1 "$1/ports"; }

voters() { awk '{ printf "%s%s@127.0.0.1:%s", (NR > 1 ? "," : ""), $1, $3 }' "$1/ports"; }

# launch DIR N: does not wait.
launch() {
  local dir=$1 n=$2 log=$1/node$2.log first second third run
  alive "$dir" "$n" && return 0
  read -r _ first second third < <(grep "^$n " "$dir/ports") || die "$dir has no node $n"
  case $(cat "$dir/kind") in
    kafka) run=(run-kafka "$dir/node$n" "$n" "$first" "$second" "$(voters "$dir")") ;;
    *) run=(run-opensearch "$dir/node$n" "$first" "$second") ;;
  esac
  touch "$log"
  log_mark[$n]=$(stat -c %s "$log")
  # An own session: Ctrl-C in the caller's terminal is not meant for the node.
  KAFKA_SASL_PORT=${KAFKA_SASL:+$third} setsid "$self" "${run[@]}" </dev/null >>"$log" 2>&1 &
  echo $! >"$dir/node$n.pid"
}

present_log() { tail -c +$((${log_mark[$2]:-0} + 1)) "$1/node$2.log"; }

ready() {
  local dir=$1 n=$2 port
  case $(cat "$dir/kind") in
    kafka) grep -q 'Kafka Server started' <(present_log "$dir" "$n") ;;
    *)
      port=$(cut -d' ' -f2 "$dir/ports")
      curl -sf --max-time 5 -o /dev/null "http://127.0.0.1:$port/_cluster/health?wait_for_status=yellow&timeout=1s"
      ;;
  esac
}

# await_node DIR N: fails with the end of the log as soon as the process is gone.
await_node() {
  local dir=$1 n=$2 end=$((SECONDS + start_seconds)) problem=
  while :; do
    sleep 0.1
    alive "$dir" "$n" || problem='died'
    [ $SECONDS -lt $end ] || problem="was not ready after $start_seconds s"
    [ -n "$problem" ] && break
    ready "$dir" "$n" && return 0
  done
  say "node $n $problem; $dir/node$n.log ends with:"
  present_log "$dir" "$n" | tail -n 25 >&2
  return 1
}

address_taken() {
  local n
  for n in $(node_numbers "$1"); do
    grep -qE 'Address already in use|BindException|BindHttpException|BindTransportException' <(present_log "$1" "$n") && return 0
  done
  return 1
}

# choose_ports DIR COUNT: three a node, the third for Kafka's SASL listener.
choose_ports() {
  local n=0 first second third
  free_ports $(($2 * 3)) | while read -r first && read -r second && read -r third; do
    n=$((n + 1))
    echo "$n $first $second $third"
  done >"$1/ports"
}

launch_all() {
  local dir=$1 n
  for n in $(node_numbers "$dir"); do launch "$dir" "$n"; done
  for n in $(node_numbers "$dir"); do await_node "$dir" "$n" || return 1; done
}

# start_nodes KIND DIR COUNT ENV_WRITER. The file env is written last: without it there was no good start yet, so the
# ports may still change.
start_nodes() {
  local kind=$1 dir=$2 count=$3 writer=$4 try
  mkdir -p "$dir"
  dir=$(cd "$dir" && pwd -P)
  # shellcheck disable=SC2064 # this dir, now
  trap "stop_all $(printf %q "$dir"); exit 1" INT TERM
  if [ -e "$dir/env" ]; then
    [ "$(cat "$dir/kind")" = "$kind" ] || die "$dir belongs to $(cat "$dir/kind")"
    # shellcheck source=/dev/null
    . "$dir/settings"
    launch_all "$dir" || { stop_all "$dir"; exit 1; }
    "$writer" "$dir" | tee "$dir/env"
    return
  fi
  echo "$kind" >"$dir/kind"
  remember_settings >"$dir/settings"
  for try in 1 2 3 4; do
    choose_ports "$dir" "$count"
    if launch_all "$dir"; then
      "$writer" "$dir" >"$dir/env.new"
      mv "$dir/env.new" "$dir/env"
      cat "$dir/env"
      return
    fi
    stop_all "$dir"
    [ "$try" -lt 4 ] && address_taken "$dir" || exit 1
    say 'a port was taken meanwhile; trying others'
    rm -rf "$dir"/node[0-9]*
  done
}

kafka_env() {
  awk '{ printf "%s127.0.0.1:%s", (NR > 1 ? "," : "KAFKA_BOOTSTRAP="), $2 } END { print "" }' "$1/ports"
  [ -n "${KAFKA_SASL:-}" ] || return 0
  awk '{ printf "%s127.0.0.1:%s", (NR > 1 ? "," : "KAFKA_SASL_BOOTSTRAP="), $4 } END { print "" }' "$1/ports"
  printf 'KAFKA_SASL_USER=%s\nKAFKA_SASL_PASSWORD=%s\n' "${KAFKA_SASL_USER:-millstream}" "${KAFKA_SASL_PASSWORD:-secret}"
}

opensearch_env() { awk '{ print "OPENSEARCH_URL=http://127.0.0.1:" $2 }' "$1/ports"; }

start_kafka() {
  installed "$kafka_home"
  [[ ${2:-1} =~ ^[1-9]$ ]] || usage
  start_nodes kafka "$1" "${2:-1}" kafka_env
}

start_opensearch() {
  installed "$opensearch_home"
  start_nodes opensearch "$1" 1 opensearch_env
}

existing() { [ -e "$1/ports" ] || die "nothing was started in $1"; cd "$1" && pwd -P; }

start_one() {
  local dir
  dir=$(existing "$1")
  # shellcheck source=/dev/null
  . "$dir/settings"
  launch "$dir" "$2"
  await_node "$dir" "$2"
}

send() { kill "-$3" "$(cat "$1/node$2.pid")" 2>/dev/null || true; }

# exited PID: wholly, sockets and all. A dying process loses its name first, and one that is not waited for stays a zombie.
exited() {
  local tasks=("/proc/$1/task"/*)
  [ -d "/proc/$1" ] || return 0
  [ ${#tasks[@]} -le 1 ] && grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null
}

# gone DIR N: waits, and kills what does not go by itself. Only for a node that was alive when it got its signal.
gone() {
  local dir=$1 n=$2 end=$((SECONDS + stop_seconds)) pid
  pid=$(cat "$dir/node$n.pid")
  until exited "$pid"; do
    if [ $SECONDS -ge $end ] && alive "$dir" "$n"; then send "$dir" "$n" KILL; fi
    sleep 0.05
  done
  rm -f "$dir/node$n.pid"
}

stop_one() {
  local dir signal=${3:-TERM}
  dir=$(existing "$1")
  alive "$dir" "$2" || die "node $2 of $dir does not run"
  send "$dir" "$2" "$signal"
  case $signal in TERM | KILL) gone "$dir" "$2" ;; esac
}

stop_all() {
  local dir n running=()
  dir=$(existing "$1")
  for n in $(node_numbers "$dir"); do
    alive "$dir" "$n" || { rm -f "$dir/node$n.pid"; continue; }
    running+=("$n")
    send "$dir" "$n" TERM
    # A node that was halted by STOP hears nothing else before it goes on.
    send "$dir" "$n" CONT
  done
  for n in "${running[@]}"; do gone "$dir" "$n"; done
}
