# shellcheck shell=bash
# Starts everything, writes, stops or kills, starts again and looks whether the data is there; prints how long each took.

# step TEXT COMMAND...: runs it and prints the time; the check ends at the first step that fails.
step() {
  local text=$1 began=${EPOCHREALTIME/./} taken
  shift
  "$@" || die "check: $text: failed"
  taken=$(((${EPOCHREALTIME/./} - began) / 100000))
  printf '%-58s %3d.%d s\n' "$text" $((taken / 10)) $((taken % 10))
}

bootstrap() { sed -n "s/^$2=//p" "$1/env"; }

quiet() { "$@" >/dev/null; }

topic() {
  "$self" kafka-tool TopicCommand --bootstrap-server "$(bootstrap "$1" KAFKA_BOOTSTRAP)" --create --topic t \
    --replication-factor "$2" --config cleanup.policy=compact >/dev/null
}

produce() {
  echo "$2" | "$self" kafka-tool ConsoleProducer --bootstrap-server "$(bootstrap "$1" KAFKA_BOOTSTRAP)" --topic t \
    --reader-property parse.key=true --reader-property key.separator=: >/dev/null
}

# consume DIR RECORDS: they and no others, in this order.
consume() {
  local count got
  count=$(wc -l <<<"$2")
  got=$("$self" kafka-tool consumer.ConsoleConsumer --bootstrap-server "$(bootstrap "$1" KAFKA_BOOTSTRAP)" --topic t --from-beginning \
    --max-messages "$count" --timeout-ms 30000 --formatter-property print.key=true --formatter-property key.separator=: 2>"$1/consumer.log")
  [ "$got" = "$2" ] || { cat "$1/consumer.log" >&2; say "found '$got' instead of '$2'"; return 1; }
}

# logs_in DIR MECHANISM PASSWORD: lists the topics over the SASL listener.
logs_in() {
  local module=plain.PlainLoginModule
  [ "$2" = PLAIN ] || module=scram.ScramLoginModule
  cat >"$1/client.properties" <<PROPERTIES
security.protocol=SASL_PLAINTEXT
sasl.mechanism=$2
sasl.jaas.config=org.apache.kafka.common.security.$module required username="millstream" password="$3";
PROPERTIES
  "$self" kafka-tool TopicCommand --bootstrap-server "$(bootstrap "$1" KAFKA_SASL_BOOTSTRAP)" \
    --command-config "$1/client.properties" --list 2>/dev/null | grep -qx t
}

refuses() { ! logs_in "$@"; }

put_document() {
  curl -sf -o /dev/null -X PUT -H 'content-type: application/json' -d '{"title":"Ångström"}' \
    "$(bootstrap "$1" OPENSEARCH_URL)/docs/_doc/1?version=7&version_type=external"
}

# An analyzer of its own, so that the module for it was needed.
make_index() {
  curl -sf -o /dev/null -X PUT -H 'content-type: application/json' "$(bootstrap "$1" OPENSEARCH_URL)/docs" -d '{
    "settings": {"number_of_replicas": 0, "analysis": {"analyzer": {"folded": {"tokenizer": "standard", "filter": ["lowercase", "asciifolding"]}}}},
    "mappings": {"properties": {"title": {"type": "text", "analyzer": "folded"}}}}'
}

finds_document() {
  local url
  url=$(bootstrap "$1" OPENSEARCH_URL)
  curl -sf -o /dev/null -X POST "$url/docs/_refresh" || return 1
  grep -q '"_id":"1"' < <(curl -sf "$url/docs/_search?q=title:angstrom")
}

memory() {
  local pid
  for pid in "$1"/node*.pid; do
    printf '%-58s %4d MB\n' "  resident: ${pid#"$check_dir"/}" "$(($(awk '/^VmRSS/ { print $2 }' "/proc/$(cat "$pid")/status") / 1024))"
  done
}

check_one_broker() {
  local dir=$check_dir/kafka
  KAFKA_SASL=1 step 'one broker: first start' quiet "$self" kafka "$dir"
  step 'one broker: make a topic' topic "$dir" 1
  step 'one broker: produce' produce "$dir" k1:v1
  memory "$dir"
  step 'one broker: log in with PLAIN' logs_in "$dir" PLAIN secret
  step 'one broker: log in with SCRAM' logs_in "$dir" SCRAM-SHA-256 secret
  step 'one broker: a wrong password is refused' refuses "$dir" PLAIN wrong
  step 'one broker: stop' "$self" stop "$dir"
  step 'one broker: start again' quiet "$self" kafka "$dir"
  step 'one broker: the record is there' consume "$dir" k1:v1
  step 'one broker: stop' "$self" stop "$dir"
}

check_three_brokers() {
  local dir=$check_dir/kafka3
  step 'three brokers: first start' quiet "$self" kafka "$dir" 3
  step 'three brokers: make a topic' topic "$dir" 3
  step 'three brokers: produce' produce "$dir" k1:v1
  memory "$dir"
  step 'three brokers: kill -9 of one' "$self" node-stop "$dir" 2 KILL
  step 'three brokers: produce to two' produce "$dir" k2:v2
  step 'three brokers: start the third again' "$self" node-start "$dir" 2
  step 'three brokers: both records are there' consume "$dir" $'k1:v1\nk2:v2'
  step 'three brokers: stop' "$self" stop "$dir"
}

check_opensearch() {
  local dir=$check_dir/opensearch
  step 'OpenSearch: first start' quiet "$self" opensearch "$dir"
  step 'OpenSearch: an index with an analyzer' make_index "$dir"
  step 'OpenSearch: a document' put_document "$dir"
  memory "$dir"
  step 'OpenSearch: kill -9' "$self" node-stop "$dir" 1 KILL
  step 'OpenSearch: start again' "$self" node-start "$dir" 1
  step 'OpenSearch: the document is found' finds_document "$dir"
  step 'OpenSearch: stop' "$self" stop "$dir"
}

clean_up_check() {
  local dir
  for dir in "$check_dir"/*/; do [ -e "$dir/ports" ] && (stop_all "$dir"); done
  rm -rf "$check_dir"
}

check_services() {
  step 'install' "$self" install
  check_dir=$(mktemp -d)
  trap clean_up_check EXIT
  check_one_broker
  check_three_brokers
  check_opensearch
  echo 'check: all is well'
}
