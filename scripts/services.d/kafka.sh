# shellcheck shell=bash
# One Kafka broker that is its own KRaft controller, or one of three that are.

# A compiler that stays with its first stage and the simplest collector: tests start brokers often and load them little.
kafka_flags=(-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djava.awt.headless=true
  -Dlog4j2.configurationFile="$parts/kafka.log4j2.properties" -cp "$kafka_home/libs/*")

# A second listener with a user and a password, beside the plain one, so that a client's SASL settings can be tried.
sasl_properties() {
  local user=${KAFKA_SASL_USER:-millstream} password=${KAFKA_SASL_PASSWORD:-secret}
  local plain=org.apache.kafka.common.security.plain.PlainLoginModule
  local scram=org.apache.kafka.common.security.scram.ScramLoginModule
  cat <<PROPERTIES
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256
listener.name.sasl_plaintext.plain.sasl.jaas.config=$plain required user_$user="$password";
listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config=$scram required;
PROPERTIES
}

# kafka_properties DIR NODE_ID BROKER_PORT CTRL_PORT VOTERS
kafka_properties() {
  local dir=$1 id=$2 broker=$3 controller=$4 voters=$5
  local commas=${voters//[!,]/}
  local nodes=$((${#commas} + 1))
  local copies=$((nodes < 3 ? nodes : 3))
  local in_sync=$((copies > 1 ? copies - 1 : 1))
  local advertised=PLAINTEXT://127.0.0.1:$broker
  [ -n "${KAFKA_SASL_PORT:-}" ] && advertised+=,SASL_PLAINTEXT://127.0.0.1:$KAFKA_SASL_PORT
  cat <<PROPERTIES
process.roles=broker,controller
node.id=$id
controller.quorum.voters=$voters
listeners=$advertised,CONTROLLER://127.0.0.1:$controller
advertised.listeners=$advertised
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs=$dir/data
num.network.threads=2
num.io.threads=4
num.partitions=1
default.replication.factor=$copies
min.insync.replicas=$in_sync
offsets.topic.num.partitions=4
offsets.topic.replication.factor=$copies
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=$copies
transaction.state.log.min.isr=$in_sync
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=$copies
share.coordinator.state.topic.min.isr=$in_sync
# A broker that was killed is refused until its old session lapses: 9 s by default.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
# 128 MiB by default, more than the heap has.
log.cleaner.dedupe.buffer.size=16777216
log.cleaner.threads=1
log.cleaner.backoff.ms=1000
PROPERTIES
  [ -n "${KAFKA_SASL_PORT:-}" ] && sasl_properties
  printf '%s\n' "${EXTRA_PROPS:-}"
}

# format_kafka DIR JAVA: once. The mark is made last, so a format that was cut short is done again.
format_kafka() {
  local dir=$1 java=$2 options=() class_flags=()
  [ -e "$dir/formatted" ] && return 0
  [ -n "${KAFKA_SASL_PORT:-}" ] &&
    options=(--add-scram "SCRAM-SHA-256=[name=${KAFKA_SASL_USER:-millstream},password=${KAFKA_SASL_PASSWORD:-secret}]")
  [ -n "${ARCHIVE_CLASSES:-}" ] || mapfile -t class_flags < <(class_options "$kafka_home" "$dir")
  "$java" -Xmx128m "${class_flags[@]}" "${kafka_flags[@]}" kafka.tools.StorageTool format --ignore-formatted \
    -t "${CLUSTER_ID:-AAAAAAAAQACAAAAAAAAAAQ}" -c "$dir/server.properties" "${options[@]}" ||
    die "formatting $dir/data failed"
  touch "$dir/formatted"
}

# run_kafka DIR NODE_ID BROKER_PORT CTRL_PORT [VOTERS]: VOTERS is the same string for all the nodes of a cluster,
# 1@127.0.0.1:PORT,2@... with the controller ports. Formats DIR once, then becomes the broker.
run_kafka() {
  local dir=$1 id=$2 broker=$3 controller=$4 java heap class_flags
  local voters=${5:-$id@127.0.0.1:$controller}
  installed "$kafka_home"
  mkdir -p "$dir"
  dir=$(cd "$dir" && pwd -P)
  java=$(java_17)
  kafka_properties "$dir" "$id" "$broker" "$controller" "$voters" >"$dir/server.properties"
  format_kafka "$dir" "$java"
  heap=-Xmx256m
  [[ $voters == *,* ]] && heap=-Xmx128m
  mapfile -t class_flags < <(class_options "$kafka_home" "$dir")
  # shellcheck disable=SC2086 # HEAP may be several options
  exec "$java" ${HEAP:-$heap} "${class_flags[@]}" -XX:+ExitOnOutOfMemoryError "${kafka_flags[@]}" kafka.Kafka "$dir/server.properties"
}

# kafka_tool CLASS ARGS...: one of org.apache.kafka.tools, such as TopicCommand or consumer.ConsoleConsumer.
kafka_tool() {
  local class=$1 class_flags
  shift
  installed "$kafka_home"
  mapfile -t class_flags < <(class_options "$kafka_home" .)
  exec "$(java_17)" -Xmx128m "${class_flags[@]}" "${kafka_flags[@]}" "org.apache.kafka.tools.$class" "$@"
}
