# Sourced behind rounds.sh: gateways with one reactor, in which every limit is in force and no client meets one,
# and the load for them, both built here.

cargo build --release --quiet --locked -p wse-sidecar --bins
cargo build --release --quiet --locked -p wse-e2e --example engine_load

secret=an-example-secret-of-32-bytes-or-more
api_key=for-nobody-else
printf %s "$secret" >"$work/jwt"
printf %s "$api_key" >"$work/api"

# Starts one: `start NAME [JSON]`, the latter its configuration beside what they have in common. Sets `server`, and
# `public`, `api` and `admin`, its ports.
start() {
    read -r public api admin <<<"$(free_ports 3)"
    cat >"$work/own.json" <<<"${2:-{\}}"
    jq -s '.[0] * .[1]' - "$work/own.json" >"$work/$1.json" <<JSON
{
  "version": 1, "cluster": "figures/engine", "node": "$1", "reactors": 1, "log": "warn",
  "listen": {"public": "127.0.0.1:$public", "api": "127.0.0.1:$api", "admin": "127.0.0.1:$admin"},
  "auth": {"keys": [{"algorithm": "HS256", "file": "$work/jwt"}], "defaultTopics": ["engine.*"]},
  "api": {"keyFiles": ["$work/api"]},
  "admin": {"tokenFile": "$work/api"},
  "limits": {"messagesPerSecond": 4000000000, "bytesPerSecond": 4000000000}
}
JSON
    taskset -c 0 "$target/wse-sidecar" run --config "$work/$1.json" 2>"$work/log" &
    server=$!
    until curl -fs "localhost:$admin/ready" >/dev/null 2>&1; do
        kill -0 $server || { cat "$work/log" >&2; exit 1; }
        sleep 0.05
    done
}

load() { taskset -c 1 "$target/examples/engine_load" "$1" "127.0.0.1:$public" "$secret" "${@:2}"; }
