# shellcheck shell=bash
# One OpenSearch node: how its home is put together, and how it is run.

opensearch_zip=org.opensearch.distribution.integ-test-zip:opensearch:$opensearch_version:zip

# The product needs custom analyzers beyond the core. They extend the script module, so that one has to be there.
opensearch_modules='transport-netty4 lang-painless analysis-common'

build_opensearch() {
  local building=$1 module
  maven "$dependency_plugin:copy" -Dartifact="$opensearch_zip" -DoutputDirectory="$building/download"
  unzip -q "$building"/download/*.zip -d "$building/unpacked"
  rm -rf "$building/download"
  mv "$building/unpacked/opensearch-$opensearch_version"/* "$building/"
  rm -rf "$building/unpacked"
  # Version 3 brings all modules along, version 2 only the transport.
  for module in "$building"/modules/*; do
    case " $opensearch_modules " in *" ${module##*/} "*) ;; *) rm -rf "$module" ;; esac
  done
  [ -d "$building/modules/lang-painless" ] || add_modules "$building"
}

add_modules() {
  local modules=$1/modules
  add_module "$modules" lang-painless org.opensearch.painless.PainlessPlugin ''
  cat >"$modules/lang-painless/plugin-security.policy" <<'POLICY'
grant {
  permission java.lang.RuntimePermission "createClassLoader";
  permission java.lang.RuntimePermission "getClassLoader";
};
POLICY
  add_module "$modules" analysis-common org.opensearch.analysis.common.CommonAnalysisPlugin lang-painless
}

# add_module MODULES NAME CLASS EXTENDS
add_module() {
  local folder=$1/$2 name=$2 class=$3 extends=$4 jar bare
  mkdir -p "$folder"
  jars opensearch-module.pom.xml "$folder" -Dmodule.artifact="$name" -Dmodule.version="$opensearch_version"
  # A node does not start when a module carries a jar that the node has itself.
  for jar in "$folder"/*.jar; do
    bare=$(basename "$jar" | sed -E 's/-[0-9][^-]*(-[0-9]+)?\.jar$//')
    if compgen -G "$folder/../../lib/$bare-[0-9]*" >/dev/null; then rm "$jar"; fi
  done
  cat >"$folder/plugin-descriptor.properties" <<DESCRIPTOR
description=$name
version=$opensearch_version
name=$name
classname=$class
java.version=11
opensearch.version=$opensearch_version
custom.foldername=
extended.plugins=$extends
has.native.controller=false
DESCRIPTOR
}

# opensearch_settings DIR HTTP_PORT TRANSPORT_PORT
opensearch_settings() {
  cat <<SETTINGS
cluster.name: millstream-$2
node.name: n1
network.host: 127.0.0.1
http.port: $2
transport.port: $3
discovery.type: single-node
path.data: $1/data
path.logs: $1/logs
cluster.routing.allocation.disk.threshold_enabled: false
# Many a test machine has the kernel's default of memory maps, which is too few.
node.store.allow_mmap: false
SETTINGS
  printf '%s\n' "${EXTRA_YML:-}"
}

# OpenSearch refuses to be root. As root it therefore runs as nobody, who owns the node's directory. Where nobody may not
# pass a folder above the home or the directory, such as one below /root, the right to do so is handed on as well; Java asks
# with access(2), which knows of that right only under no_setuid_fixup.
unprivileged() {
  local home=$1 dir=$2
  run_as=()
  [ "$(id -u)" -eq 0 ] || return 0
  run_as=(setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups)
  chown -R nobody "$dir"
  reaches "$home" "$dir" && return 0
  run_as+=(--securebits=+no_setuid_fixup --inh-caps=+dac_override --ambient-caps=+dac_override)
  reaches "$home" "$dir" ||
    die "the user nobody must be able to pass all folders above $home and $dir; MILLSTREAM_SERVICES_DIR moves the first"
}

reaches() { "${run_as[@]}" test -r "$1/lib" && "${run_as[@]}" test -w "$2/data"; }

# run_opensearch DIR HTTP_PORT TRANSPORT_PORT: becomes the node.
run_opensearch() {
  local dir=$1 http=$2 transport=$3 home=$opensearch_home java run_as flags class_flags
  installed "$home"
  mkdir -p "$dir"/{config,data,logs,tmp}
  dir=$(cd "$dir" && pwd -P)
  opensearch_settings "$dir" "$http" "$transport" >"$dir/config/opensearch.yml"
  cp "$parts/opensearch.log4j2.properties" "$dir/config/log4j2.properties"
  touch "$dir/config/jvm.options"
  flags=(-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xss1m -XX:+ExitOnOutOfMemoryError -XX:-OmitStackTraceInFastThrow
    -XX:MaxDirectMemorySize=256m -Djava.awt.headless=true -Dfile.encoding=UTF-8
    -Djna.nosys=true -Djna.tmpdir="$dir/tmp" -Djava.io.tmpdir="$dir/tmp"
    -Dio.netty.noUnsafe=true -Dio.netty.noKeySetOptimization=true -Dio.netty.recycler.maxCapacityPerThread=0
    -Dio.netty.allocator.numDirectArenas=0 -Dlog4j.shutdownHookEnabled=false -Dlog4j2.disable.jmx=true
    -Dopensearch.path.home="$home" -Dopensearch.path.conf="$dir/config"
    -Dopensearch.distribution.type=zip -Dopensearch.bundled_jdk=false)
  if [ -f "$home/agent/opensearch-agent.jar" ]; then
    [ -n "${JDK_21_OR_LATER:-}" ] || die "OpenSearch $opensearch_version needs JDK_21_OR_LATER, the folder of such a JDK"
    java=$JDK_21_OR_LATER/bin/java
    flags+=(-javaagent:"$home/agent/opensearch-agent.jar" --add-opens=java.base/java.nio=ALL-UNNAMED
      -Dorg.apache.lucene.store.MMapDirectory.sharedArenaMaxPermits=1)
  else
    java=$(java_17)
    flags+=(-Djava.security.manager=allow)
  fi
  unprivileged "$home" "$dir"
  mapfile -t class_flags < <(class_options "$home" "$dir")
  cd "$dir" || exit
  # shellcheck disable=SC2086 # HEAP may be several options
  exec "${run_as[@]}" "$java" ${HEAP:--Xms512m -Xmx512m} "${class_flags[@]}" "${flags[@]}" -cp "$home/lib/*" \
    org.opensearch.bootstrap.OpenSearch
}
