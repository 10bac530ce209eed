# shellcheck shell=bash
# Installs what a script needs: Debian and Ubuntu by apt-get, elsewhere a message that names it. To be sourced under `set -euo pipefail`.
#
#   packages_install NAME...   installs Debian packages and starts no service
#   packages_browser           prints the path of a Chromium or Chrome; fails where there is none

if ((BASH_VERSINFO[0] < 4)); then
    echo "${0##*/}: needs bash 4 or later, this is $BASH_VERSION" >&2
    exit 1
fi

say() { printf 'scripts/%s: %s\n' "${0##*/}" "$*" >&2; }

packages_as_root() { if [[ $(id -u) == 0 ]]; then "$@"; else sudo -- "$@"; fi; }

# Runs a command as root while a policy-rc.d forbids starting services. The root shell itself puts the machine's own policy back,
# so that it also returns after an error or an interrupt.
packages_without_services() {
    # shellcheck disable=SC2016 # expanded by the inner shell
    packages_as_root env DEBIAN_FRONTEND=noninteractive sh -c '
        policy=/usr/sbin/policy-rc.d kept=
        if [ -e "$policy" ] || [ -L "$policy" ]; then
            kept=$(mktemp -u "$policy.XXXXXX") && mv "$policy" "$kept" || exit 1
        fi
        trap "rm -f $policy; [ -z \"$kept\" ] || mv \"$kept\" $policy" EXIT
        trap "exit 130" INT TERM
        printf "#!/bin/sh\nexit 101\n" >"$policy" && chmod 755 "$policy" || exit 1
        "$@"' sh "$@"
}

packages_install() {
    if ! command -v apt-get >/dev/null; then
        say "please install, then run this again: $* (the names are Debian's; PostgreSQL 15 or later, with its server programs)"
        return 1
    fi
    if [[ $(id -u) != 0 ]] && ! command -v sudo >/dev/null; then
        say "please run as root, then run this again: apt-get install $*"
        return 1
    fi
    say "installing $*"
    packages_as_root apt-get update -qq </dev/null >&2
    packages_without_services apt-get install -y -qq --no-install-recommends "$@" </dev/null >&2
}

packages_browser() {
    local name
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        command -v "$name" && return
    done
    return 1
}
