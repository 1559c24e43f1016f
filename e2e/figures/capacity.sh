#!/usr/bin/env bash
# What gateways carry for a processor second: messages from the backends' API to few and to many
# subscribers, through Redis.
# Usage: e2e/figures/capacity.sh [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-10}
. e2e/figures/local_fleet.sh

start High '{mode: Autoscale, minReplicas: 2, maxReplicas: 2}'
api=$(sed -n 's/.*\(http:\/\/[0-9.]*:[0-9]*\)\/publish.*/\1/p' "$work/up.log" | head -1)

printf '%-11s %-11s %12s %14s %22s\n' subscribers publishes/s deliveries/s 'processor, %' 'messages a cpu second'
for round in '1 4000' '10 4000' '100 800' '1000 100' '1000 150'; do
    read -r subscribers rate <<<"$round"
    # In both gateways together; the pings and handshakes in it are few beside the messages.
    before=$(ticks)
    "$target/wse-bench" --output json --port "$port" publish --api "$api" --api-key for-nobody-else \
        --connections "$subscribers" --topic bench --messages-per-second "$rate" --messages $((rate * seconds)) \
        --size 128 --ping-seconds 0 >"$work/report"
    python3 - "$work/report" "$subscribers" "$rate" "$(($(ticks) - before))" <<'END'
import json
import sys

report = json.load(open(sys.argv[1]))
subscribers, rate, ticks = map(int, sys.argv[2:])
sent = report["published"]
accepted, delivered, seconds = sent["accepted"], report["delivered"]["messages"], sent["seconds"]
if delivered != accepted * subscribers:
    sys.exit(f"{delivered} of {accepted * subscribers} were delivered")
cpu = ticks / 100
print(f"{subscribers:<11} {rate:<11} {delivered / seconds:>12,.0f} {cpu / seconds * 100:>14.1f} {(accepted + delivered) / cpu:>22,.0f}")
END
done
