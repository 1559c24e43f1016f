#!/usr/bin/env bash
# So many clients on a local fleet whose size the planner chose, all of them pinging: who is refused,
# how they are spread, and what a connection costs in memory. The tier Maximum, the number of pods
# between 1 and 20, at most 20,000 open files a process.
# Usage: e2e/figures/connections.sh [CONNECTIONS] [PER_SECOND]
set -euo pipefail
cd "$(dirname "$0")/../.."
connections=${1:-99000}
rate=${2:-1000}
target=${CARGO_TARGET_DIR:-target}/${CARGO_BUILD_TARGET:+$CARGO_BUILD_TARGET/}release
# A ping of each connection twice within the minute, and time for the last answers.
ping_seconds=30 hold_seconds=65

cargo build --release --quiet --locked -p wse-operator -p wse-sidecar -p wse-e2e --bins
# What container runtimes commonly allow; the planner counts on what the gateways say.
ulimit -n 20000

work=$(mktemp -d)
up=
finish() {
    [ -z "$up" ] || { kill "$up" 2>/dev/null && wait "$up"; } || true
    rm -r "$work"
}
trap finish EXIT

cat >"$work/fleet.yaml" <<'END'
apiVersion: wse.dev/v1alpha1
kind: WseCluster
metadata: {name: figures}
spec:
  capacity: {tier: Maximum}
  scaling: {mode: Autoscale, minReplicas: 1, maxReplicas: 20}
  backplane: {type: Redis, redis: {url: "redis://redis:6379"}}
  auth:
    keys: [{algorithm: HS256, secretKeyRef: {name: jwt, key: secret}}]
    issuers: [wse-bench]
    audiences: [wse-bench]
  api: {keys: [{secretKeyRef: {name: api, key: key}}]}
---
apiVersion: v1
kind: Secret
metadata: {name: jwt}
stringData: {secret: bench-secret-key-for-testing-only}
---
apiVersion: v1
kind: Secret
metadata: {name: api}
stringData: {key: for-nobody}
END

# The gateways' processes, which `up` started.
gateways() { pgrep -P "$up" -x wse-sidecar; }

# Their memory in RAM together, in KiB.
resident() {
    local pid
    for pid in $(gateways); do
        grep VmRSS: "/proc/$pid/status"
    done | awk '{ sum += $2 } END { print sum }'
}

# What the kernel keeps for objects of its own, such as sockets, in KiB; of the whole machine.
slab() { awk '/^Slab:/ { print $2 }' /proc/meminfo; }

# The page's JSON about the fleet.
fleet() { curl -fsS "$(awk '$1 == "Page" { print $2 }' "$work/up.log")fleet"; }

"$target/wse-operator" up "$work/fleet.yaml" --autoscale --port 0 >"$work/up.log" 2>&1 &
up=$!
until grep -q 'Ctrl-C drains' "$work/up.log"; do
    kill -0 "$up" || { cat "$work/up.log" >&2; exit 1; }
    sleep 0.2
done
# Ready is a fleet that has the least number of pods; each has settled by then.
sleep 5
port=$(sed -n 's/.*WebSocket .*:\([0-9]*\)\/wse$/\1/p' "$work/up.log")
before=$(resident) slab_before=$(slab)

"$target/wse-bench" --output json --port "$port" hold --reconnect --connections "$connections" --rate "$rate" \
    --ping-seconds "$ping_seconds" --seconds "$hold_seconds" >"$work/report" &
bench=$!
until [ -s "$work/report" ]; do
    kill -0 "$bench"
    sleep 1
done
# The middle of the hold: all have pinged.
sleep $((hold_seconds - 15))
after=$(resident) slab_after=$(slab)
fleet >"$work/fleet.json"
wait "$bench"

python3 - "$work/report" "$work/fleet.json" "$before" "$after" "$slab_before" "$slab_after" <<'END'
import json
import sys

holding, report = map(json.loads, open(sys.argv[1]))
fleet = json.load(open(sys.argv[2]))
before, after, slab_before, slab_after = (int(it) * 1024 for it in sys.argv[3:])
connections, moves = report["connections"], report["moves"]
held, ping = connections["held"], connections["ping"]
pods = sorted(moves["nodes"].values())
refused = sum(connections["failures"].values())
print(f"connections  {connections['opened']:,} of {connections['asked']:,} opened in {connections['open_seconds']:.0f} s, {held:,} held")
print(f"refused      {refused}, closed {moves['closes'] or 0}, failed {connections['failures'] or 0}")
print(f"tier, pods   {fleet['tier']}, {len(fleet['pods'])}: {pods}, max/mean {max(pods) * len(pods) / sum(pods):.3f}")
print(f"pings        {ping['count']:,} answered, p50 {ping['p50_us'] / 1000:.1f} ms, p99 {ping['p99_us'] / 1000:.1f} ms, max {ping['max_us'] / 1000:.1f} ms")
print(f"gateways     {before / 2**20:.0f} MiB before, {after / 2**20:.0f} MiB with all: {(after - before) / held:,.0f} bytes a connection")
print(f"kernel       {(slab_after - slab_before) / held:,.0f} bytes of slab a connection, both ends, whole machine")
for condition in fleet["conditions"]:
    print(f"             {condition['type']}: {condition['message']}")
if held != connections["asked"] or refused or holding["connections"] != held:
    sys.exit("not all of them were let in and held")
END
