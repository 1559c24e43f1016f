# Sourced by the commands of this folder: versions, folders, the lock, and which of two worlds this is.
#
# docker.sh         `docker info` works: that engine, kind's published node image
# offline/world.sh  no engine: one of its own, a node image built from packages and Go modules
#
# Both give: INSIDE (the prefix of a command that talks to the cluster), world_enter (no work: environment only),
# world_start (everything `kind create cluster` needs; sets NODE_IMAGE), world_running, world_stop,
# world_images (builds what nodes cannot pull), and IMAGES (their names).

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/wse/kind"
NAME="${WSE_CLUSTER:-wse-e2e}"
export WSE_CLUSTER=$NAME
INSIDE=()
NODE_IMAGE=()

say() {
    printf 'kind: %s\n' "$*"
}

fail() {
    printf 'e2e/kind: %s\n' "$*" >&2
    exit 1
}

# A short name for what files and folders of this folder hold.
key() {
    (cd "$HERE" && find "$@" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum) | sha256sum | cut -c1-12
}

# The version that go.mod pins, such as v1.34.4.
version() {
    sed -n "s#^\(require\)\?[[:space:]]*$1 \(v[^ ]*\).*#\2#p" "$HERE/go.mod"
}

# One run at a time builds, starts and stops. File descriptor 9 holds the lock until this process ends.
lock() {
    mkdir -p "$CACHE"
    exec 9>"$CACHE/lock"
    flock --nonblock 9 && return
    say "another run is at work in $CACHE; waiting for it"
    flock 9
}

# Runs a long command silently; prints its output if it fails, else one line with its time.
step() {
    local what=$1 began=$SECONDS log="$CACHE/step.log" status
    shift
    # As a condition of `if` the command's functions would go on after an error.
    set +e
    (set -e && "$@") >"$log" 2>&1
    status=$?
    set -e
    if ((status)); then
        cat "$log" >&2
        fail "$what: failed"
    fi
    say "$what: $((SECONDS - began)) s"
}

kubeconfig() {
    printf '%s/clusters/%s/kubeconfig' "$CACHE" "$NAME"
}

cluster_exists() {
    "${INSIDE[@]}" kind get clusters --quiet | grep -qx "$NAME"
}

. "$HERE/programs.sh"
if [[ -z ${WSE_KIND_OFFLINE:-} ]] && docker info >/dev/null 2>&1; then
    . "$HERE/docker.sh"
else
    . "$HERE/offline/world.sh"
fi
