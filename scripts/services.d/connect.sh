# shellcheck shell=bash
# A standalone Kafka Connect worker that has Debezium's PostgreSQL connector.

# run_connect DIR WORKER_PROPERTIES CONNECTOR_FILE...: becomes the worker, with a connector for each file, in properties or
# JSON. What the worker's properties do not say about plugins and offsets is added here, because only this script knows
# the places.
run_connect() {
  local dir=$1 worker=$2
  shift 2
  installed "$connect_home" connect
  mkdir -p "$dir"
  dir=$(cd "$dir" && pwd -P)
  {
    printf 'plugin.path=%s\nplugin.discovery=hybrid_warn\n' "$connect_home/plugins"
    printf 'offset.storage.file.filename=%s\n' "$dir/offsets"
    cat "$worker"
  } >"$dir/worker.properties"
  # shellcheck disable=SC2086 # HEAP may be several options
  exec "$(java_17)" ${HEAP:--Xmx1g} -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:+ExitOnOutOfMemoryError \
    -Dlog4j2.configurationFile="$parts/kafka.log4j2.properties" -cp "$connect_home/libs/*" \
    org.apache.kafka.connect.cli.ConnectStandalone "$dir/worker.properties" "$@"
}
