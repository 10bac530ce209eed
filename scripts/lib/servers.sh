# shellcheck shell=bash
# Private throw-away PostgreSQL and Redis for tests, chaos runs and benchmarks. To be sourced by a bash script under `set -euo pipefail`.
#
#   servers_install   installs what is missing (Debian and Ubuntu; elsewhere says what to install)
#   servers_start     starts both in a new folder, on free loopback ports, and exports the variables below
#   servers_stop      stops exactly those two and deletes the folder; safe to call twice, keeps the exit status, prints nothing
#
# The caller sets the trap:   trap servers_stop EXIT; servers_start
#
#   TIDEMARK_TEST_POSTGRES    postgres:// URL of a superuser, to a database from which tests create their own databases
#   TIDEMARK_TEST_REDIS       redis:// URL, database 0 of 64
#   TIDEMARK_TEST_DIR         the folder: postgres/postmaster.pid, postgres.log, redis.pid, redis.log
#   TIDEMARK_TEST_FSYNC       read, not set: `on` makes PostgreSQL durable, as a benchmark wants it; default `off`
#
# Servers that already run are never touched: every port is one that nothing listens on, and processes are stopped by the id
# that they wrote into the folder. Both servers ask for a password, because any user of the machine reaches a loopback port.

# shellcheck source=scripts/lib/packages.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/packages.sh"

servers_dir=""
servers_owner=$BASHPID

# --- finding and installing -------------------------------------------------------------------------------------------

# Prints the folder that holds initdb, pg_ctl and postgres of the newest PostgreSQL that is 15 or later.
servers_postgres_bin() {
    local dir version best="" best_version=14
    for dir in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin \
        "$(dirname -- "$(command -v initdb || echo /nonexistent/initdb)")"; do
        [[ -x $dir/initdb && -x $dir/pg_ctl && -x $dir/postgres ]] || continue
        version=$("$dir/postgres" --version | sed -nE 's/^[^0-9]*([0-9]+).*/\1/p')
        if [[ -n $version ]] && ((version > best_version)); then best=$dir best_version=$version; fi
    done
    [[ -n $best ]] && printf '%s\n' "$best"
}

# Prints the Debian packages that this machine lacks, one a line.
servers_missing_packages() {
    servers_postgres_bin >/dev/null || echo postgresql
    command -v redis-server >/dev/null || echo redis-server
}

servers_install() {
    local packages
    mapfile -t packages < <(servers_missing_packages)
    ((${#packages[@]} == 0)) && return
    packages_install "${packages[@]}"
    mapfile -t packages < <(servers_missing_packages)
    ((${#packages[@]} == 0)) && return
    say "still missing after the install: ${packages[*]} (PostgreSQL must be 15 or later)"
    return 1
}

# --- starting and stopping --------------------------------------------------------------------------------------------

# PostgreSQL refuses to run as root. An unprivileged user that already exists lends its name; nothing of its own is used.
servers_user() {
    [[ $(id -u) == 0 ]] || return 0
    local user
    for user in postgres nobody; do
        if id -u "$user" >/dev/null 2>&1; then
            printf '%s\n' "$user"
            return
        fi
    done
    say "found no unprivileged user to run PostgreSQL as"
    return 1
}

# Runs a command as that user, in the servers' folder (psql and initdb complain of a folder they may not enter).
servers_run() {
    local user
    user=$(servers_user)
    if [[ -z $user ]]; then
        (cd "$servers_dir" && "$@")
    elif command -v runuser >/dev/null; then
        (cd "$servers_dir" && runuser -u "$user" -- "$@")
    else
        (cd "$servers_dir" && su -s /bin/sh "$user" -c "$(printf '%q ' "$@")")
    fi
}

# Prints a loopback port on which nobody listens. Below the range that the kernel hands out, so that no outgoing connection
# takes it before the server does; whoever starts a server tries again with another port all the same.
servers_free_port() {
    local port
    for _ in {1..200}; do
        port=$((20000 + RANDOM % 10000))
        if ! (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
    say "found no free port"
    return 1
}

servers_password() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }

# Runs a command every tenth of a second until it succeeds, 30 seconds at most.
servers_await() {
    for _ in {1..300}; do
        "$@" >/dev/null 2>&1 && return
        sleep 0.1
    done
    return 1
}

servers_start_postgres() {
    local bin data=$servers_dir/postgres password port fsync=${TIDEMARK_TEST_FSYNC:-off}
    bin=$(servers_postgres_bin)
    password=$(servers_password)
    servers_run sh -c "umask 077; printf '%s\n' $password >postgres.password"
    # md5 rather than scram: a debug build spends tens of milliseconds on each scram log-in, and tests log in thousands of times.
    servers_run "$bin/initdb" -D "$data" -U tidemark --pwfile="$servers_dir/postgres.password" --auth=md5 --no-locale -E UTF8 \
        --no-sync >"$servers_dir/initdb.log" 2>&1 || { cat "$servers_dir/initdb.log" >&2; return 1; }
    servers_run sh -c "cat >>postgres/postgresql.conf" <<CONF
listen_addresses = '127.0.0.1'
unix_socket_directories = '$servers_dir'
max_connections = 300
shared_buffers = 256MB
fsync = $fsync
full_page_writes = $fsync
timezone = 'UTC'
log_timezone = 'UTC'
CONF
    for _ in {1..10}; do
        port=$(servers_free_port)
        rm -f -- "$servers_dir/postgres.log"
        # -w waits until it answers. It leads a process group of its own, so Ctrl-C in the terminal reaches the tests first.
        if servers_run "$bin/pg_ctl" -D "$data" -l "$servers_dir/postgres.log" -o "-p $port" -w -t 60 -s start >/dev/null 2>&1; then
            export TIDEMARK_TEST_POSTGRES="postgres://tidemark:$password@127.0.0.1:$port/postgres"
            return
        fi
        grep -q 'could not create any TCP/IP sockets' "$servers_dir/postgres.log" || break
    done
    say "PostgreSQL did not start:"
    tail -n 20 "$servers_dir/postgres.log" >&2
    return 1
}

# Speaks to Redis without redis-cli, in a subshell that takes the connection with it when it ends.
servers_redis_answers() (
    exec 9<>"/dev/tcp/127.0.0.1/$1" || exit 1
    printf 'AUTH %s\r\nPING\r\n' "$2" >&9
    IFS= read -r -t 2 line <&9 && [[ $line == +OK* ]] && IFS= read -r -t 2 line <&9 && [[ $line == +PONG* ]]
)

servers_start_redis() {
    local password port
    password=$(servers_password)
    for _ in {1..10}; do
        port=$(servers_free_port)
        rm -f -- "$servers_dir/redis.log"
        servers_run sh -c "umask 077; cat >redis.conf" <<CONF
bind 127.0.0.1
port $port
requirepass $password
databases 64
save ""
appendonly no
daemonize yes
dir $servers_dir
pidfile $servers_dir/redis.pid
logfile $servers_dir/redis.log
CONF
        servers_run redis-server "$servers_dir/redis.conf" >/dev/null 2>&1 || true
        if servers_await servers_redis_settled "$port" "$password" && servers_redis_answers "$port" "$password" 2>/dev/null; then
            export TIDEMARK_TEST_REDIS="redis://default:$password@127.0.0.1:$port/0"
            return
        fi
        grep -q 'Address already in use' "$servers_dir/redis.log" || break
    done
    say "Redis did not start:"
    tail -n 20 "$servers_dir/redis.log" >&2
    return 1
}

# True when there is nothing left to wait for: it answers, or it has given up because another took the port.
servers_redis_settled() {
    servers_redis_answers "$1" "$2" || grep -q 'Address already in use' "$servers_dir/redis.log"
}

servers_start() {
    local user
    user=$(servers_user)
    # Always in /tmp: the path of a unix socket may be only about a hundred bytes long.
    servers_dir=$(mktemp -d /tmp/tidemark-test.XXXXXX)
    [[ -z $user ]] || chown "$user" "$servers_dir"
    export TIDEMARK_TEST_DIR=$servers_dir
    servers_start_postgres
    servers_start_redis
}

servers_stop() {
    local status=$? dir=$servers_dir pid
    # A subshell inherits neither the duty nor the right.
    if [[ -z $dir || $BASHPID != "$servers_owner" ]]; then return "$status"; fi
    if [[ -s $dir/postgres/postmaster.pid ]]; then
        pid=$(head -n 1 "$dir/postgres/postmaster.pid")
        servers_run "$(servers_postgres_bin)/pg_ctl" -D "$dir/postgres" -m immediate -w -t 10 -s stop >/dev/null 2>&1 ||
            servers_kill "$pid" postgres
    fi
    if [[ -s $dir/redis.pid ]]; then servers_kill "$(<"$dir/redis.pid")" redis-server; fi
    servers_dir=""
    rm -rf -- "$dir"
    return "$status"
}

# Ends one process by its id and waits until it is gone, provided that the id still belongs to the program named.
servers_kill() {
    [[ $(servers_command_of "$1") == *"$2"* ]] || return 0
    servers_run sh -c "kill -KILL $1" 2>/dev/null || true
    servers_await servers_gone "$1" || true
}

servers_command_of() {
    if [[ -r /proc/$1/cmdline ]]; then tr '\0' ' ' <"/proc/$1/cmdline"; else ps -o args= -p "$1" 2>/dev/null || true; fi
}

servers_gone() { ! kill -0 "$1" 2>/dev/null; }
