# shellcheck shell=bash
# The vendors' own client libraries, at the versions that tests/clients pins. To be sourced under `set -euo pipefail`, from the project's folder.
#
#   clients_install FOLDER   installs them there, unless it holds these versions; fails where Node, Python or their registries are out of reach

clients_install() {
    local folder=$1 wanted tool
    for tool in node npm python3; do
        if ! command -v "$tool" >/dev/null; then
            say "$tool is not installed"
            return 1
        fi
    done
    wanted=$(cat tests/clients/package-lock.json tests/clients/requirements.txt | cksum)
    if [[ -f $folder/installed && $(<"$folder/installed") == "$wanted" ]]; then return; fi
    rm -rf "$folder"
    mkdir -p "$folder"
    cp tests/clients/package.json tests/clients/package-lock.json "$folder/"
    (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund --silent </dev/null >&2) || return 1
    python3 -m venv "$folder/venv" || return 1
    "$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement tests/clients/requirements.txt \
        </dev/null >&2 || return 1
    printf '%s' "$wanted" >"$folder/installed"
}
