#!/usr/bin/env bash
# What one gateway's engine does on one core: inbound, fan-out, handshakes, a storm, memory at rest, plain and over
# TLS. The gateway has one reactor and the Memory backplane; medians of the rounds.
# Processor time is the gateway's, all its threads, user and system. FLOORS is as in rounds.sh.
# Usage: e2e/figures/engine.sh [ROUNDS] [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=${1:-5}
seconds=${2:-3}
fans=('100 95' '1000 95' '100 1024')
. e2e/figures/rounds.sh
. e2e/figures/gateway.sh

certificate
build_floors

# What the floor does in the place of the gateway, in millions a second: `floor FILE MODE BYTES CLIENT ARGUMENT...`
floor() {
    [ -n "${FLOORS:-}" ] || return 0
    serve_sink "$2" "$3"
    taskset -c 1 "$work/floors/$4" 127.0.0.1 "$port" / "${@:5}" 2>/dev/null |
        sed -nE 's#.*(msgs|deliveries)/s ([0-9]+).*#\2#p' | awk '{ printf "%.1f\n", $1 / 1e6 }' >>"$work/floor.$1"
    stop
}

# Messages that were read as far as where they go: this gateway has no backend that takes them.
routed() { curl -fs "localhost:$admin/metrics" | awk '/^wse_inbound_messages_total\{outcome="no_backend"\}/ { print $2 }'; }

inbound() {
    local before after
    start engine
    before=$(ticks)
    load flood 100 "$1" "$seconds"
    after=$(ticks)
    awk -v n="$(routed)" -v s="$seconds" -v t=$((after - before)) \
        'BEGIN { printf "%.1f %.1f\n", n / s / 1e6, n / t / 1e4 }' >>"$work/inbound.$1"
    stop
}

fan() {
    local before after
    start engine
    before=$(ticks)
    load fan "$1" "$2" "$seconds" "127.0.0.1:$api" "$api_key" >"$work/fan"
    after=$(ticks)
    awk -v t=$((after - before)) '{ printf "%.1f %.1f\n", $2 / $3 / 1e6, $2 / t / 1e4 }' "$work/fan" >>"$work/fan.$1.$2"
    stop
}

anonymous() { awk '/RssAnon/ { print $2 * 1024 }' "/proc/$server/status"; }
slab() { awk '/^Slab/ { print $2 * 1024 }' /proc/meminfo; }

# storm NAME CONNECTIONS TOPICS AT-ONCE PENDING-HANDSHAKES [tls]: more pending handshakes leave less of the open
# files to sessions.
storm() {
    local before after rss kernel client own="{\"limits\": {\"pendingHandshakes\": $5}}" trust=()
    if [ -n "${6:-}" ]; then
        own=$(jq -c ".listen.tls = {certificateFile: \"$work/chain\", keyFile: \"$work/key\"}" <<<"$own")
        trust=("$work/chain")
    fi
    start engine "$own"
    before=$(ticks) rss=$(anonymous) kernel=$(slab)
    rm -f "$work/storm"
    mkfifo "$work/hold"
    load storm "$2" "$3" "$4" "${trust[@]}" <"$work/hold" >"$work/storm" &
    client=$!
    exec 3>"$work/hold"
    until [ -s "$work/storm" ]; do
        kill -0 $client
        sleep 0.02
    done
    after=$(ticks)
    # What handshakes needed has been given back by then.
    sleep 3
    awk -v n="$2" -v t=$((after - before)) -v r=$(($(anonymous) - rss)) -v k=$(($(slab) - kernel)) \
        '{ printf "%.2f %.0f %.0f %.0f\n", $1, t * 1e4 / n, r / n, k / n }' "$work/storm" >>"$work/storm.$1"
    exec 3>&-
    wait $client
    rm "$work/hold"
    stop
}

for _ in $(seq "$rounds"); do
    for bytes in 64 180 1024; do
        inbound $bytes
        floor inbound.$bytes 1 $bytes flood 100 $bytes "$seconds"
    done
    for load in "${fans[@]}"; do
        read -r subscribers bytes <<<"$load"
        fan "$subscribers" "$bytes"
        floor "fan.$subscribers.$bytes" 2 "$bytes" fan "$subscribers" "$seconds"
    done
    storm accept 15000 0 256 4096
    storm storm 10000 10 3000 4096
    storm idle 19000 1 16 64
    storm idle-tls 19000 1 16 64 tls
done

line() { printf '| %-58s | %14s | %26s | %14s |\n' "$@"; }
# row WORK FILE: both columns of a file, and the floor with its ratio.
row() {
    local floor=
    [ -z "${FLOORS:-}" ] || floor="$(of "floor.$2" 1) M, $(ratio "$(of "$2" 1)" "$(of "floor.$2" 1)")"
    line "$1" "$(of "$2" 1) M" "$(of "$2" 2) M" "$floor"
}
line work figure 'for a processor second' 'floor, to it'
line --- ---: ---: ---:
for bytes in 64 180 1024; do row "inbound, 100 connections, $bytes B, messages/s" inbound.$bytes; done
for load in "${fans[@]}"; do
    read -r subscribers bytes <<<"$load"
    row "fan-out, $subscribers subscribers, $bytes B, deliveries/s" "fan.$subscribers.$bytes"
done
line 'accept, JWT checked, until server_ready, 256 at once' "$(of storm.accept 2) us" '' ''
line '10,000 at once, 10 topics each, until the last ack' "$(of storm.storm 1) s" "$(of storm.storm 2) us each" ''
line '19,000 idle, one subscription, a connection' "$(of storm.idle 3) B" "$(of storm.idle 4) B of kernel slab" ''
line '19,000 idle over TLS, one subscription, a connection' "$(of storm.idle-tls 3) B" "$(of storm.idle-tls 4) B of kernel slab" ''
