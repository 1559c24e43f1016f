#!/usr/bin/env bash
# What two gateways add to Redis between a backend and a subscriber: published by the API of one, delivered by the
# other, on a fixed schedule; lateness counts from the moment that the schedule has for a publication. Both gateways
# and Redis share core 0. Redis alone is PUBLISH to one connection that has subscribed to the same topics.
# Usage: e2e/figures/publish.sh [ROUNDS] [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=${1:-5}
seconds=${2:-5}
. e2e/figures/rounds.sh
. e2e/figures/gateway.sh

redis=$(free_ports 1)
taskset -c 0 redis-server --port "$redis" --bind 127.0.0.1 --save '' --appendonly no --dir "$work" >"$work/redis.log" &
until redis-cli -p "$redis" ping >/dev/null 2>&1; do sleep 0.05; done
backplane="{\"backplane\": {\"Redis\": {\"url\": \"redis://127.0.0.1:$redis\"}}}"
start publisher "$backplane"
calls=127.0.0.1:$api
start deliverer "$backplane"

# Subscribers, topics and publications a second: a topic each, and one that all of them have.
schedules=('200 200 5000' '200 1 250')
for _ in $(seq "$rounds"); do
    for schedule in "${schedules[@]}"; do
        read -r subscribers topics rate <<<"$schedule"
        taskset -c 1 "$target/examples/engine_load" redis "127.0.0.1:$redis" "$topics" "$rate" "$seconds" >"$work/alone"
        load pass "$subscribers" "$topics" "$rate" "$seconds" "$calls" "$api_key" >"$work/through"
        paste -d ' ' "$work/alone" "$work/through" |
            awk '{ print $1, $2, $4, $5, $4 - $1, $5 - $2 }' >>"$work/$subscribers.$topics.$rate"
    done
done

line() { printf '| %-55s | %20s | %20s | %20s |\n' "$@"; }
line 'publications, p50 / p99 in ms' 'Redis alone' gateways added
line --- --- --- ---
for schedule in "${schedules[@]}"; do
    read -r subscribers topics rate <<<"$schedule"
    file=$subscribers.$topics.$rate
    line "$rate a second, topics: $topics, subscribers: $subscribers" "$(of "$file" 1) / $(of "$file" 2)" \
        "$(of "$file" 3) / $(of "$file" 4)" "$(of "$file" 5) / $(of "$file" 6)"
done
