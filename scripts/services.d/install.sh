# shellcheck shell=bash
# Installs the services and says where they are: Debian's packages for Java and Maven, everything else as jars from Maven Central.
# A finished folder appears by rename, so an install that was interrupted leaves nothing that looks finished.

kafka_version=4.3.1
slf4j_version=2.25.4     # log4j-slf4j-impl: without it the broker logs nothing
debezium_version=3.7.0.Final
opensearch_version=${OPENSEARCH_VERSION:-2.19.6}   # 3.6.0 too, where JDK_21_OR_LATER names such a JDK
dependency_plugin=org.apache.maven.plugins:maven-dependency-plugin:3.6.1

services=$(realpath -m "${MILLSTREAM_SERVICES_DIR:-$root/.cache/services}")
kafka_home=$services/kafka-$kafka_version
class_archive=classes.jsa
connect_home=$services/connect-$kafka_version-debezium-$debezium_version
opensearch_home=$services/opensearch-$opensearch_version

# Java 17 is what all of it is known to run on; OpenSearch 2 does not start on 24 and later.
java_17() {
  local java
  [ -n "${JAVA:-}" ] && { echo "$JAVA"; return; }
  for java in /usr/lib/jvm/java-17-openjdk-*/bin/java; do [ -x "$java" ] && { echo "$java"; return; }; done
  command -v java || die 'Java is missing; scripts/services install adds it'
}

# The independent reader of the documents topic (docs/reference/topic-contract.md) is written in Python.
python_reader() {
  local python
  for python in /usr/bin/python3 python3; do
    "$python" -c 'import confluent_kafka' >/dev/null 2>&1 && return 0
  done
  return 1
}

install_packages() {
  local packages=()
  (java_17) >/dev/null 2>&1 || packages+=(openjdk-17-jre-headless)
  command -v mvn >/dev/null 2>&1 || packages+=(maven)
  command -v unzip >/dev/null 2>&1 || packages+=(unzip)
  command -v curl >/dev/null 2>&1 || packages+=(curl)
  python_reader || packages+=(python3-confluent-kafka)
  [ ${#packages[@]} -eq 0 ] && return 0

  apt_install "${packages[@]}"
}

# A download may fail for a moment. -U: Maven remembers a failure for a day otherwise.
maven() {
  local try output
  for try in 1 2 3 4; do
    output=$(mvn -B -q -U "$@" 2>&1) && return 0
    [ "$try" -lt 4 ] && { say 'a download failed; trying again'; sleep $((try * 3)); }
  done
  die "Maven could not fetch what is needed: $output"
}

# jars POM FOLDER [-Dname=value...]: the dependencies of that pom, and theirs.
jars() {
  local pom=$1 folder=$2
  shift 2
  maven -f "$parts/$pom" "$dependency_plugin:copy-dependencies" -DincludeScope=runtime -DoutputDirectory="$folder" \
    -Dkafka.version="$kafka_version" -Dslf4j.version="$slf4j_version" -Ddebezium.version="$debezium_version" "$@"
}

build_kafka() { jars kafka.pom.xml "$1/libs"; }

build_connect() {
  jars connect.pom.xml "$1/libs"
  jars debezium.pom.xml "$1/plugins/debezium"
}

# put HOME BUILDER: runs the builder on a temporary folder and renames that to HOME when it is complete.
put() {
  local home=$1 builder=$2 building
  [ -d "$home" ] && return 0
  say "installing ${home##*/}"
  building=$services/building-${home##*/}
  rm -rf "$building"
  mkdir -p "$building"
  "$builder" "$building"
  # mkdir and unzip follow the umask, but OpenSearch runs as another user.
  chmod -R a+rX "$building"
  mv "$building" "$home"
}

# archive HOME STARTER: runs a node once and keeps what its JVM says about the classes it loaded. Later starts then take
# half the time and a fifth less memory. Where that fails there is an empty file, and starts are slower.
archive() {
  local home=$1 starter=$2 dir=$services/training
  local stop_seconds=120   # the archive is written at the end
  [ -e "$home/$class_archive" ] && return 0
  # A JVM with an agent, as OpenSearch 3 is, writes none.
  if [ -d "$home/agent" ]; then touch "$home/$class_archive"; return; fi
  say "trying ${home##*/} out"
  if [ -e "$dir/ports" ]; then stop_all "$dir"; fi   # an install that was killed may have left it running
  rm -rf "$dir"
  (ARCHIVE_CLASSES=1 EXTRA_PROPS='' EXTRA_YML='' "$starter" "$dir" 9>&-) >/dev/null || die "${home##*/} does not start"
  stop_all "$dir"
  touch "$dir/node1/$class_archive"
  install -m 644 "$dir/node1/$class_archive" "$home/$class_archive.new"
  mv "$home/$class_archive.new" "$home/$class_archive"
  rm -rf "$dir"
}

# class_options HOME DIR: the JVM options for that.
class_options() {
  if [ -n "${ARCHIVE_CLASSES:-}" ]; then printf '%s\n' -Xlog:disable "-XX:ArchiveClassesAtExit=$2/$class_archive"
  elif [ -s "$1/$class_archive" ]; then printf '%s\n' -Xlog:disable "-XX:SharedArchiveFile=$1/$class_archive"
  fi
}

complete() { [ -e "$1/$class_archive" ] || { [ "$1" = "$connect_home" ] && [ -d "$1" ]; }; }

install_services() {
  local wanted=("$kafka_home" "$opensearch_home")
  case ${1:-} in
    '') ;;
    connect) wanted=("$connect_home") ;;
    *) usage ;;
  esac
  local home missing=0
  for home in "${wanted[@]}"; do complete "$home" || missing=1; done
  if [ $missing -eq 0 ] && (java_17) >/dev/null 2>&1 && command -v curl >/dev/null 2>&1 && python_reader; then return 0; fi

  mkdir -p "$services"
  # One install at a time; the lock goes with the process, however that ends.
  exec 9>"$services/lock"
  flock 9
  install_packages
  for home in "${wanted[@]}"; do
    case $home in
      "$kafka_home") put "$home" build_kafka; archive "$home" start_kafka ;;
      "$opensearch_home") put "$home" build_opensearch; archive "$home" start_opensearch ;;
      "$connect_home") put "$home" build_connect ;;
    esac
  done
}

# installed HOME [ARGS]: for the commands that run something; they never download behind the caller's back.
installed() { [ -d "$1" ] || die "${1##*/} is not installed; run: scripts/services install${2:+ $2}"; }
