#!/usr/bin/env bash
# What one gateway's engine does on one core: inbound, fan-out, handshakes, a storm, memory at rest. The gateway
# has one reactor and the Memory backplane and runs on core 0, the client on core 1; medians of the rounds.
# Processor time is the gateway's, all its threads, user and system.
# Usage: e2e/figures/engine.sh [ROUNDS] [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=${1:-5}
seconds=${2:-3}
. e2e/figures/rounds.sh
. e2e/figures/gateway.sh

cargo build --release --quiet --locked -p wse-sidecar --bins
cargo build --release --quiet --locked -p wse-e2e --example engine_load

printf %s "$secret" >"$work/jwt"
printf %s for-nobody-else >"$work/api"
ports=$(python3 - <<'PY'
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(s.getsockname()[1] for s in sockets))
PY
)
read -r public api admin <<<"$ports"
# Every limit is in force, and no client of these meets one.
cat >"$work/config.json" <<JSON
{
  "version": 1, "node": "engine", "reactors": 1, "log": "warn",
  "listen": {"public": "127.0.0.1:$public", "api": "127.0.0.1:$api", "admin": "127.0.0.1:$admin"},
  "auth": {"keys": [{"algorithm": "HS256", "file": "$work/jwt"}], "defaultTopics": ["engine.*"]},
  "api": {"keyFiles": ["$work/api"]},
  "admin": {"tokenFile": "$work/api"},
  "limits": {"messagesPerSecond": 4000000000, "bytesPerSecond": 4000000000, "pendingHandshakes": PENDING}
}
JSON

# start PENDING-HANDSHAKES: more of them leave less of the open files to sessions.
start() {
    sed "s/PENDING/$1/" "$work/config.json" >"$work/running.json"
    taskset -c 0 "$target/wse-sidecar" run --config "$work/running.json" 2>"$work/log" &
    gateway=$!
    until curl -fs "localhost:$admin/ready" >/dev/null 2>&1; do
        kill -0 $gateway || { cat "$work/log" >&2; exit 1; }
        sleep 0.05
    done
}

stop() {
    kill -9 $gateway
    wait $gateway 2>/dev/null || true
    gateway=
}

# Processor time of the gateway, in clock ticks, 100 a second.
ticks() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$gateway/stat"; }

load() { taskset -c 1 "$target/examples/engine_load" "$1" "127.0.0.1:$public" "$secret" "${@:2}"; }

# Messages that were read as far as where they go: this gateway has no backend that takes them.
routed() { curl -fs "localhost:$admin/metrics" | awk '/^wse_inbound_messages_total\{outcome="no_backend"\}/ { print $2 }'; }

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

# The median of a column over the rounds of a file.
of() { awk -v c="$2" '{ print $c }' "$work/$1" | median; }

inbound() {
    local before after
    start 1024
    before=$(ticks)
    load flood 100 "$1" "$seconds"
    after=$(ticks)
    awk -v n="$(routed)" -v s="$seconds" -v t=$((after - before)) \
        'BEGIN { printf "%.1f %.1f\n", n / s / 1e6, n / t / 1e4 }' >>"$work/inbound.$1"
    stop
}

fan() {
    local before after
    start 1024
    before=$(ticks)
    load fan "$1" "$2" "$seconds" "127.0.0.1:$api" for-nobody-else >"$work/fan"
    after=$(ticks)
    awk -v t=$((after - before)) '{ printf "%.1f %.1f\n", $2 / $3 / 1e6, $2 / t / 1e4 }' "$work/fan" >>"$work/fan.$1.$2"
    stop
}

anonymous() { awk '/RssAnon/ { print $2 * 1024 }' "/proc/$gateway/status"; }
slab() { awk '/^Slab/ { print $2 * 1024 }' /proc/meminfo; }

# storm NAME CONNECTIONS TOPICS AT-ONCE PENDING-HANDSHAKES
storm() {
    local before rss kernel
    start "$5"
    before=$(ticks) rss=$(anonymous) kernel=$(slab)
    rm -f "$work/storm"
    mkfifo "$work/hold"
    load storm "$2" "$3" "$4" <"$work/hold" >"$work/storm" &
    client=$!
    exec 3>"$work/hold"
    until [ -s "$work/storm" ]; do
        kill -0 $client
        sleep 0.02
    done
    local after
    after=$(ticks)
    # What handshakes needed has been given back by then.
    sleep 3
    awk -v n="$2" -v t=$((after - before)) -v r=$(($(anonymous) - rss)) -v k=$(($(slab) - kernel)) \
        '{ printf "%.2f %.0f %.0f %.0f\n", $1, t * 1e4 / n, r / n, k / n }' "$work/storm" >>"$work/storm.$1"
    exec 3>&-
    wait $client
    client=
    rm "$work/hold"
    stop
}

for _ in $(seq "$rounds"); do
    for bytes in 64 180 1024; do inbound $bytes; done
    fan 100 95
    fan 1000 95
    fan 100 1024
    storm accept 15000 0 256 4096
    storm storm 10000 10 3000 4096
    storm idle 19000 1 16 64
done

line() { printf '| %-58s | %14s | %26s |\n' "$@"; }
line work figure 'for a processor second'
line --- --- ---
for bytes in 64 180 1024; do
    line "inbound, 100 connections, $bytes B, messages/s" "$(of inbound.$bytes 1) M" "$(of inbound.$bytes 2) M"
done
for load in '100 95' '1000 95' '100 1024'; do
    read -r subscribers bytes <<<"$load"
    line "fan-out, $subscribers subscribers, $bytes B, deliveries/s" \
        "$(of "fan.$subscribers.$bytes" 1) M" "$(of "fan.$subscribers.$bytes" 2) M"
done
line 'accept, JWT checked, until server_ready, 256 at once' "$(of storm.accept 2) us" ''
line '10,000 at once, 10 topics each, until the last ack' "$(of storm.storm 1) s" "$(of storm.storm 2) us each"
line '19,000 idle, one subscription, a connection' "$(of storm.idle 3) B" "$(of storm.idle 4) B of kernel slab"
