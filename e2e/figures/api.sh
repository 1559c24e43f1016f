#!/usr/bin/env bash
# The backends' API beside cymongoose's simplest JSON server: requests a second under wrk, 100 connections, each
# server on one core. Ours checks the key, counts, and publishes or looks up a topic; theirs answers a constant.
# Alternating rounds, medians.
# Usage: e2e/figures/api.sh [ROUNDS] [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=${1:-5}
seconds=${2:-2}
. e2e/figures/rounds.sh
. e2e/figures/gateway.sh

home=${XDG_CACHE_HOME:-$HOME/.cache}/wse/cymongoose-0.2.5
if [ ! -e "$home/complete" ]; then
    python3 -m venv "$home"
    "$home/bin/pip" install --quiet --disable-pip-version-check cymongoose==0.2.5
    touch "$home/complete"
fi

cat >"$work/post.lua" <<'LUA'
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"topic":"engine.all","message":{"t":"message","p":{"text":"hello"}}}'
LUA

# Adds a round to a file: requests a second, and CPU microseconds of the server a request. An answer that is not a
# success ends the run.
round() {
    local name=$1 url=$2 before
    before=$(ticks)
    taskset -c 1 wrk -t1 -c100 -d"$seconds" -H "Authorization: Bearer $api_key" "${@:3}" "$url" >"$work/wrk"
    if grep -E 'Non-2xx|Socket errors' "$work/wrk"; then exit 1; fi
    awk -v t=$(($(ticks) - before)) '/requests in/ { n = $1 } /Requests\/sec/ { printf "%.0f %.2f\n", $2, t * 1e4 / n }' \
        "$work/wrk" >>"$work/$name"
}

for _ in $(seq "$rounds"); do
    start api
    round ours.get "http://127.0.0.1:$api/topics/engine.all"
    round ours.post "http://127.0.0.1:$api/publish" -s "$work/post.lua"
    stop
    serve "$home/bin/python" e2e/figures/api_cymongoose.py
    round theirs.get "http://$address/"
    round theirs.post "http://$address/" -s "$work/post.lua"
    stop
done

line() { printf '| %-30s | %10s | %21s | %17s |\n' "$@"; }
line request requests/s 'server CPU us/request' 'ours to cymongoose'
line --- ---: ---: ---:
for way in 'get GET /topics/{topic}' 'post POST /publish'; do
    read -r name what <<<"$way"
    line "$what" "$(of "ours.$name" 1)" "$(of "ours.$name" 2)" ''
    line "cymongoose, ${what%% *}" "$(of "theirs.$name" 1)" "$(of "theirs.$name" 2)" \
        "$(ratio "$(of "ours.$name" 1)" "$(of "theirs.$name" 1)"), $(ratio "$(of "ours.$name" 2)" "$(of "theirs.$name" 2)")"
done
