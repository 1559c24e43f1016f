#!/usr/bin/env bash
# What a flood costs another client: p50 and p99 of its pings and of questions to the admin port, without and
# with 100 connections that send small messages as fast as the gateway reads. The gateway has one reactor
# and runs on core 0; flood and pings come from core 1, where the flood yields to the pings. A flood is
# shorter than what the gateway puts up with. Medians of the rounds.
# Usage: e2e/figures/flood.sh [ROUNDS] [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=${1:-5}
seconds=${2:-5}
. e2e/figures/rounds.sh
. e2e/figures/gateway.sh

# beside NAME: adds a line for pings and one for probes to the files of that name.
beside() {
    load beside "$seconds" "127.0.0.1:$admin" |
        while read -r kind times; do echo "$times" >>"$work/$1.$kind"; done
}

read_messages() {
    curl -fs "localhost:$admin/metrics" | awk '/^wse_inbound_messages_total/ { n += $2 } END { printf "%.0f", n }'
}

for _ in $(seq "$rounds"); do
    for limits in on off; do
        # The default ones, and none.
        if [ $limits = on ]; then
            start flood '{"limits": {"messagesPerSecond": 1000, "bytesPerSecond": 4194304}}'
        else
            start flood '{"limits": {"messagesPerSecond": 0, "bytesPerSecond": 0}}'
        fi
        beside "$limits.quiet"
        taskset -c 1 nice -n 19 "$target/examples/engine_load" \
            flood "127.0.0.1:$public" "$secret" 100 64 "$((seconds + 2))" &
        flood=$!
        # Until all of it has connected and filled what the kernel holds.
        sleep 1
        before=$(read_messages)
        beside "$limits.flood"
        echo $(($(read_messages) - before)) >>"$work/$limits.read"
        wait $flood
        stop
    done
done

printf '| limits | %-5s | p50 quiet | p50 beside | p99 quiet | p99 beside | p99, times |\n| --- | --- | --- | --- | --- | --- | --- |\n' what
for limits in on off; do
    for kind in ping probe; do
        awk -v l=$limits -v k=$kind -v a="$(of $limits.quiet.$kind 2)" -v b="$(of $limits.flood.$kind 2)" \
            -v c="$(of $limits.quiet.$kind 3)" -v d="$(of $limits.flood.$kind 3)" \
            'BEGIN { printf "| %s | %s | %d us | %d us | %d us | %d us | %.1f |\n", l, k, a, b, c, d, d / c }'
    done
    awk -v l=$limits -v n="$(of $limits.read 1)" -v s="$seconds" \
        'BEGIN { printf "limits %s: %.1f M messages/s of the flood were read\n", l, n / s / 1e6 }'
done
