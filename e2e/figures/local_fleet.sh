# Sourced by scripts beside it: release builds, and a fleet of processes on this machine.
# It ends with the script.

target=${CARGO_TARGET_DIR:-target}/${CARGO_BUILD_TARGET:+$CARGO_BUILD_TARGET/}release
work=$(mktemp -d)
up=
finish() {
    [ -z "$up" ] || { kill "$up" 2>/dev/null && wait "$up"; } || true
    rm -r "$work"
}
trap finish EXIT

# Starts a fleet: `start TIER SCALING`, the latter as in a spec. Sets `port` and `api`.
start() {
    cargo build --release --quiet --locked -p wse-operator -p wse-sidecar -p wse-e2e --bins
    # What container runtimes commonly allow; the planner counts on what the gateways say.
    ulimit -n 20000
    cat >"$work/fleet.yaml" <<END
apiVersion: wse.dev/v1alpha1
kind: WseCluster
metadata: {name: figures}
spec:
  capacity: {tier: $1}
  scaling: $2
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
stringData: {key: for-nobody-else}
END
    "$target/wse-operator" up "$work/fleet.yaml" --autoscale --port 0 >"$work/up.log" 2>&1 &
    up=$!
    until grep -q 'Ctrl-C drains' "$work/up.log"; do
        kill -0 "$up" || { cat "$work/up.log" >&2; exit 1; }
        sleep 0.2
    done
    port=$(sed -n 's/.*WebSocket .*:\([0-9]*\)\/wse$/\1/p' "$work/up.log")
    # Ready is a fleet that has the least number of pods; each has settled by then.
    sleep 5
}

# The gateways' processes, which `up` started.
gateways() { pgrep -P "$up" -x wse-sidecar; }

# Their memory in RAM together, in KiB.
resident() {
    local pid
    for pid in $(gateways); do
        grep VmRSS: "/proc/$pid/status"
    done | awk '{ sum += $2 } END { print sum }'
}

# Their processor time together, in clock ticks, 100 a second.
ticks() {
    local pid
    for pid in $(gateways); do
        sed 's/.*) //' "/proc/$pid/stat"
    done | awk '{ sum += $12 + $13 } END { print sum }'
}

# The page's JSON about the fleet.
fleet() { curl -fsS "$(awk '$1 == "Page" { print $2 }' "$work/up.log")fleet"; }
