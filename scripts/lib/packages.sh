# shellcheck shell=bash
# Installing Debian packages, for the scripts that do: source this file. The caller has `say` and `die`.

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"
  elif command -v sudo >/dev/null 2>&1; then sudo "$@"
  else die "needs root for: $*  (run this as root, install sudo, or install the packages yourself)"
  fi
}

# apt_install PACKAGES...: as root or through sudo, without a question.
apt_install() {
  command -v apt-get >/dev/null 2>&1 || die "this system is not Debian; please install yourself: $*"
  say "installing $*"
  as_root apt-get update -qq
  # confold: a configuration file that is there already stays.
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    -o Dpkg::Options::=--force-confold "$@" >/dev/null
}
