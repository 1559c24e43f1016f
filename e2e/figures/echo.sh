#!/usr/bin/env bash
# The echo example (the engine and the reactor alone) beside the echo servers of fastwebsockets and uWebSockets, and
# over TLS beside itself: messages a second, and server CPU microseconds a message. Alternating rounds, medians.
# UWEBSOCKETS names a checkout of uWebSockets that has its uSockets; without it that server is left out.
# Usage: e2e/figures/echo.sh [ROUNDS] [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=${1:-5}
seconds=${2:-2}
loads=('100 20' '10 1024' '10 16384' '200 16384' '500 16384')
tls_load='200 16384'
. e2e/figures/rounds.sh

cargo build --release --quiet --locked -p wse-sidecar --example echo
cargo build --release --quiet --locked -p wse-e2e --example echo_fastwebsockets --example echo_load
certificate

# A peer gets what its own makefile has: -O3 and link-time optimization, nothing of this machine alone.
build_uwebsockets() {
    local sockets=$UWEBSOCKETS/uSockets/src
    (cd "$work" && gcc -O3 -flto -DLIBUS_NO_SSL -I"$sockets" -c "$sockets"/{bsd,context,loop,socket,udp}.c "$sockets/eventing/epoll_kqueue.c")
    g++ -std=c++20 -O3 -flto=auto -DLIBUS_NO_SSL -DUWS_NO_ZLIB -I"$UWEBSOCKETS/src" -I"$sockets" \
        e2e/figures/echo_uwebsockets.cpp "$work"/*.o -o "$work/uwebsockets"
}

peers=(fastwebsockets)
if [ -n "${UWEBSOCKETS:-}" ]; then
    UWEBSOCKETS=$(realpath "$UWEBSOCKETS")
    build_uwebsockets
    peers+=(uwebsockets)
else
    echo 'uwebsockets is left out: UWEBSOCKETS names no checkout of it'
fi

# Adds a round of a server to its file: messages a second, and CPU microseconds a message.
round() {
    local name=$1 connections=$2 bytes=$3 before trust=()
    case $name in
    echo) serve "$target/examples/echo" 127.0.0.1:0 ;;
    echo-tls)
        serve "$target/examples/echo" 127.0.0.1:0 1 "$work/chain" "$work/key"
        trust=("$work/chain")
        ;;
    fastwebsockets) serve "$target/examples/echo_fastwebsockets" 127.0.0.1:0 ;;
    uwebsockets) serve "$work/uwebsockets" 0 ;;
    esac
    before=$(ticks)
    taskset -c 1 "$target/examples/echo_load" "$address" "$connections" "$bytes" "$seconds" "${trust[@]}" >"$work/load"
    awk -v t=$(($(ticks) - before)) '{ printf "%s %.3f\n", $2, t * 1e4 / $1 }' "$work/load" >>"$work/$name.$connections.$bytes"
    stop
}

line() { printf '| %-28s | %-14s | %10s | %21s | %17s |\n' "$@"; }

# The servers of a load, ours first; the others' ratios are ours to theirs.
rows() {
    local connections=$1 bytes=$2 ours=echo.$1.$2 file name
    for name in "${@:3}"; do
        file=$name.$connections.$bytes
        line "$connections connections, $bytes B" "$name" "$(of "$file" 1)" "$(of "$file" 2)" \
            "$(ratio "$(of "$ours" 1)" "$(of "$file" 1)"), $(ratio "$(of "$ours" 2)" "$(of "$file" 2)")"
    done
}

line load server messages/s 'server CPU us/message' 'ours to it'
line --- --- ---: ---: ---:
for load in "${loads[@]}"; do
    read -r connections bytes <<<"$load"
    servers=(echo "${peers[@]}")
    [ "$load" != "$tls_load" ] || servers+=(echo-tls)
    for _ in $(seq "$rounds"); do
        for name in "${servers[@]}"; do round "$name" "$connections" "$bytes"; done
    done
    rows "$connections" "$bytes" "${servers[@]}"
done
