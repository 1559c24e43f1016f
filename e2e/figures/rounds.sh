# Sourced by scripts beside it: what a measurement in rounds needs. Servers run on core 0, their clients on core 1.
# What the script has started ends with it.

target=${CARGO_TARGET_DIR:-target}/${CARGO_BUILD_TARGET:+$CARGO_BUILD_TARGET/}release
# A process holds as many files as container runtimes commonly allow.
ulimit -n 20000
work=$(mktemp -d)
server=
trap 'kill -9 $(jobs -p) 2>/dev/null || true; rm -r "$work"' EXIT

# Starts a server that prints its address: `serve COMMAND...`. Sets `server` and `address`.
serve() {
    rm -f "$work/address"
    taskset -c 0 "$@" >"$work/address" &
    server=$!
    until [ -s "$work/address" ]; do
        kill -0 $server
        sleep 0.02
    done
    address=$(cat "$work/address")
}

# So many TCP ports that nobody listens on.
free_ports() {
    python3 - "$1" <<'PY'
import socket, sys
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(s.getsockname()[1] for s in sockets))
PY
}

# FLOORS names a folder with the C programs `sink.c`, which walks and unmasks frames or sends prepared ones and does
# nothing else, and `flood.c` and `fan.c`, its clients. Without it they are left out.
build_floors() {
    local name
    [ -n "${FLOORS:-}" ] || { echo 'floors are left out: FLOORS names no folder of them'; return; }
    mkdir "$work/floors"
    for name in sink flood fan; do gcc -O2 -o "$work/floors/$name" "$FLOORS/$name.c"; done
}

# Starts it: `serve_sink MODE BYTES`. Sets `server` and `port`.
serve_sink() {
    port=$(free_ports 1)
    taskset -c 0 "$work/floors/sink" "$port" "$@" &
    server=$!
    until (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
        kill -0 $server
        sleep 0.02
    done
}

stop() {
    kill -9 $server
    wait $server 2>/dev/null || true
    server=
}

# Processor time of the server, all its threads, user and system, in clock ticks, 100 a second.
ticks() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$server/stat"; }

# The median of a column over the rounds of a file.
of() { awk -v c="$2" '{ print $c }' "$work/$1" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }

# Makes a certificate for `localhost`, the files `chain` and `key` in the scratch folder.
certificate() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE \
        -keyout "$work/key" -out "$work/chain" 2>/dev/null
}
