#!/usr/bin/env bash
# All figures of one gateway, one after the other on this machine: beside its peers, beside a flood, and what two of
# them add to Redis.
# UWEBSOCKETS is as in echo.sh, FLOORS as in rounds.sh.
# Usage: e2e/figures/table.sh [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")"
rounds=${1:-5}

lscpu | grep 'Model name'
for figures in echo engine flood api publish; do
    printf '\n%s\n\n' "$figures"
    "./$figures.sh" "$rounds"
done
