#!/usr/bin/env bash
# All figures of one gateway beside its peers and of what it adds to Redis, one after the other on this machine.
# UWEBSOCKETS is as in echo.sh.
# Usage: e2e/figures/table.sh [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")"
rounds=${1:-5}

lscpu | grep 'Model name'
for figures in echo engine api publish; do
    printf '\n%s\n\n' "$figures"
    "./$figures.sh" "$rounds"
done
