#!/usr/bin/env bash
# So many clients on a local fleet whose size the planner chose, all of them pinging: who is refused,
# how they are spread, and what a connection costs in memory. The tier Maximum, the number of pods
# between 1 and 20, at most 20,000 open files a process. The minute counts from when the fleet has
# settled and spread its clients.
# Usage: e2e/figures/connections.sh [CONNECTIONS] [PER_SECOND]
set -euo pipefail
cd "$(dirname "$0")/../.."
connections=${1:-99000}
rate=${2:-1000}
# A ping of each connection twice within the minute, and time for the last answers.
ping_seconds=30 hold_seconds=65

. e2e/figures/local_fleet.sh

# What the kernel keeps for objects of its own, such as sockets, in KiB; of the whole machine.
slab() { awk '/^Slab:/ { print $2 }' /proc/meminfo; }

start Maximum '{mode: Autoscale, minReplicas: 1, maxReplicas: 20}'
before=$(resident) slab_before=$(slab)

began=$SECONDS
"$target/wse-bench" --output json --port "$port" hold --reconnect --connections "$connections" --rate "$rate" \
    --ping-seconds "$ping_seconds" --seconds 900 >"$work/report" &
bench=$!
at_rest='any(.[]; .type == "Settled" and .holds) and any(.[]; .type == "Balanced" and .message == "clients are spread evenly over the pods")'
quiet=0
# Clients who were asked to move go within ten seconds.
until [ "$quiet" -ge 12 ]; do
    kill -0 "$bench"
    [ $((SECONDS - began)) -lt 600 ]
    sleep 1
    if [ -s "$work/report" ] && fleet | jq --exit-status ".conditions | $at_rest" >/dev/null; then
        quiet=$((quiet + 1))
    else
        quiet=0
    fi
done
rest=$((SECONDS - began + 1))
sleep "$hold_seconds"
after=$(resident) slab_after=$(slab)
fleet >"$work/fleet.json"
kill -TERM "$bench"
wait "$bench"

python3 - "$work/report" "$work/fleet.json" "$before" "$after" "$slab_before" "$slab_after" "$rest" <<'END'
import json
import sys

holding, report = map(json.loads, open(sys.argv[1]))
fleet = json.load(open(sys.argv[2]))
before, after, slab_before, slab_after = (int(it) * 1024 for it in sys.argv[3:7])
rest = int(sys.argv[7])
connections, moves = report["connections"], report["moves"]
held, ping = connections["held"], connections["ping"]
pods = sorted(moves["nodes"].values())
refused = sum(connections["failures"].values())
print(f"connections  {connections['opened']:,} of {connections['asked']:,} opened in {connections['open_seconds']:.0f} s, {held:,} held")
moved = sum(moves["tenths"].values())
late = sum(count for tenth, count in moves["tenths"].items() if int(tenth) > rest * 10)
print(f"refused      {refused}, closed {moves['closes'] or 0}, failed {connections['failures'] or 0}")
print(f"moved        {moved:,} to spread them, until {rest} s after the start; {late} in the minute that counts")
print(f"tier, pods   {fleet['tier']}, {len(fleet['pods'])}: {pods}, max/mean {max(pods) * len(pods) / sum(pods):.3f}")
print(f"pings        {ping['count']:,} answered, p50 {ping['p50_us'] / 1000:.1f} ms, p99 {ping['p99_us'] / 1000:.1f} ms, max {ping['max_us'] / 1000:.1f} ms")
print(f"gateways     {before / 2**20:.0f} MiB before, {after / 2**20:.0f} MiB with all: {(after - before) / held:,.0f} bytes a connection")
print(f"kernel       {(slab_after - slab_before) / held:,.0f} bytes of slab a connection, both ends, whole machine")
for condition in fleet["conditions"]:
    print(f"             {condition['type']}: {condition['message']}")
if held != connections["asked"] or refused or late or holding["connections"] != held:
    sys.exit("not all of them were let in and held")
END
