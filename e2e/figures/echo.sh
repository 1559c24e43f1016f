#!/usr/bin/env bash
# The echo example beside the echo server of fastwebsockets: messages a second, and server CPU
# microseconds a message. Server on core 0, client on core 1, alternating rounds, medians.
# Usage: e2e/figures/echo.sh [ROUNDS] [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=${1:-5}
seconds=${2:-3}
target=${CARGO_TARGET_DIR:-target}/release/examples

cargo build --release --quiet -p wse-sidecar --example echo
cargo build --release --quiet -p wse-e2e --example echo_fastwebsockets --example echo_load

work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -r "$work"' EXIT
ticks=$(getconf CLK_TCK)

# CPU time of a process and its threads, in clock ticks: fields 14 and 15 of its stat.
cpu() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$1/stat"; }

# One round: appends "messages-per-second cpu-microseconds-per-message" to the server's file.
round() {
    local name=$1 connections=$2 bytes=$3 address before after
    rm -f "$work/address"
    taskset -c 0 "$target/$name" 127.0.0.1:0 >"$work/address" &
    server=$!
    until [ -s "$work/address" ]; do sleep 0.05; done
    address=$(cat "$work/address")
    before=$(cpu $server)
    taskset -c 1 "$target/echo_load" "$address" "$connections" "$bytes" "$seconds" >"$work/load"
    after=$(cpu $server)
    kill $server
    wait $server 2>/dev/null || true
    server=
    awk -v ticks=$((after - before)) -v hz="$ticks" \
        '{ printf "%s %.3f\n", $2, ticks / hz * 1e6 / $1 }' "$work/load" \
        >>"$work/$name.$connections.$bytes"
}

# Median of a column of a server's file.
median() { sort -n -k "$2,$2" "$work/$1" | awk -v c="$2" '{ v[NR] = $c } END { print v[int((NR + 1) / 2)] }'; }

for load in "100 20" "10 16384"; do
    read -r connections bytes <<<"$load"
    for _ in $(seq "$rounds"); do
        round echo "$connections" "$bytes"
        round echo_fastwebsockets "$connections" "$bytes"
    done
    ours=echo.$connections.$bytes
    theirs=echo_fastwebsockets.$connections.$bytes
    echo "$connections connections of $bytes bytes, median of $rounds rounds of $seconds s"
    for file in "$ours" "$theirs"; do
        printf '  %-20s %8s messages/s  %7s us CPU a message\n' \
            "${file%%.*}" "$(median "$file" 1)" "$(median "$file" 2)"
    done
    awk -v a="$(median "$ours" 1)" -v b="$(median "$theirs" 1)" \
        -v c="$(median "$ours" 2)" -v d="$(median "$theirs" 2)" \
        'BEGIN { printf "  ratio                %8.2f              %7.2f\n", a / b, c / d }'
done
