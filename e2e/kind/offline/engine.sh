# A dockerd, its network namespace, and what both leave behind when they are killed: processes die with a container
# or a session while files stay, so every file found here may be stale.

# Prints the process id of our dockerd, if it lives.
engine_pid() {
    local pid
    pid=$(cat "$RUN/docker.pid" 2>/dev/null) && [[ -r /proc/$pid/cmdline ]] &&
        grep -qz -- "$RUN/docker.pid" "/proc/$pid/cmdline" && printf '%s' "$pid"
}

engine_running() {
    engine_pid >/dev/null && docker version >/dev/null 2>&1
}

engine_start() {
    engine_stop
    mkdir -p "$RUN/config" "$DATA"
    ip netns add "$ID"
    ip -n "$ID" link set lo up
    # The cgroup is named, so that what a killed engine leaves is found.
    (
        inherit_nothing
        exec setsid "${INSIDE[@]}" dockerd --host "$DOCKER_HOST" --pidfile "$RUN/docker.pid" \
            --data-root "$DATA" --exec-root "$RUN/exec" --cgroup-parent "/$ID" \
            --exec-opt native.cgroupdriver=cgroupfs --oom-score-adjust 0 \
            --add-runtime "lean=$HERE/offline/runc-lean" --default-runtime lean
    ) </dev/null >"$CACHE/dockerd.log" 2>&1 &
    local launched=$!
    until docker version >/dev/null 2>&1; do
        if ! kill -0 "$launched" 2>/dev/null; then
            tail -20 "$CACHE/dockerd.log"
            return 1
        fi
        sleep 0.1
    done
    # The clusters of an engine that died do not come back.
    docker ps --all --quiet | xargs --no-run-if-empty docker rm --force --volumes
    rm -rf "$CACHE/clusters"
}

# Locks and pipes of the caller end with the caller, not with the engine.
inherit_nothing() {
    local file
    for file in "/proc/$BASHPID/fd"/*; do
        file=${file##*/}
        ((file <= 2)) || eval "exec $file>&-"
    done
}

# Ends the engine and whatever is left of an earlier one.
engine_stop() {
    local pid cgroup
    if pid=$(engine_pid); then
        kill "$pid"
        timeout 30 tail --pid="$pid" -f /dev/null || kill -KILL "$pid"
    fi
    for pid in $(leftovers); do
        kill -KILL "$pid" 2>/dev/null || true
    done
    awk -v run="$RUN/" -v data="$DATA/" 'index($2 "/", run) == 1 || index($2 "/", data) == 1 { print $2 }' \
        /proc/self/mounts | sort -r | xargs --no-run-if-empty umount --lazy
    [[ ! -e /run/netns/$ID ]] || ip netns delete "$ID"
    for cgroup in /sys/fs/cgroup/*/"$ID" /sys/fs/cgroup/"$ID"; do
        [[ ! -d $cgroup ]] || find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null || true
    done
    rm -rf --one-file-system "$RUN"
}

# Processes of an engine that was killed: its containers, their shims and its containerd.
leftovers() {
    find /sys/fs/cgroup -path "*/$ID/*" -name cgroup.procs -exec cat {} + 2>/dev/null || true
    pgrep --full -- "$RUN/exec/" || true
}
