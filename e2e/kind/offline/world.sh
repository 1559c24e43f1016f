# The world without a Docker engine: one of its own, in a network namespace of its own, which dies with `down`.
# Its images stay in the cache. Each cache folder has its own engine, so two do not meet.

ID=wse-kind-$(sha256sum <<<"$CACHE" | cut -c1-8)
RUN=/run/$ID
DATA="$CACHE/docker"
INSIDE=(nsenter "--net=/run/netns/$ID")
export DOCKER_HOST=unix://$RUN/docker.sock DOCKER_CONFIG=$RUN/config DOCKER_BUILDKIT=0
METRICS_SERVER=$(sed -n 's/^ *image: //p' "$HERE/metrics-server.yaml")
# Nodes cannot pull the README's Redis.
IMAGES=(wse-redis:dev redis:7.4 "$METRICS_SERVER")
# What `exec` starts finds this world again.
export WSE_KIND_OFFLINE=1

((EUID == 0)) || fail 'no Docker engine answers, and only root can start one'

. "$HERE/offline/engine.sh"
. "$HERE/offline/node.sh"

world_enter() {
    export PATH="$PROGRAMS:$PATH"
}

world_start() {
    packages dockerd docker.io debootstrap debootstrap iptables iptables ip iproute2 jq jq redis-server redis-server
    if [[ ! -e $PROGRAMS/kubectl ]]; then
        step 'Kubernetes, kind and helm from their Go modules' build_programs \
            ./offline/kube ./offline/coredns ./offline/pause sigs.k8s.io/kind helm.sh/helm/v3/cmd/helm \
            sigs.k8s.io/metrics-server/cmd/metrics-server
        ln -s kube "$PROGRAMS/kubectl"
    fi
    engine_running || step 'Docker engine' engine_start
    node_image
    NODE_IMAGE=(--image "$NODE")
}

# Clusters that programs of another version made cannot be asked for; they go with the engine.
world_running() {
    [[ -x $PROGRAMS/kind ]] && engine_running
}

world_stop() {
    engine_stop
}

world_images() {
    local context="$CACHE/images-context" file
    rm -rf "$context"
    mkdir -p "$context/files/tmp"
    cp "$PROGRAMS/metrics-server" "$context/"
    printf 'FROM scratch\nCOPY metrics-server /\nENTRYPOINT ["/metrics-server"]\n' >"$context/Dockerfile"
    docker build --quiet --tag "$METRICS_SERVER" "$context"
    rm "$context/metrics-server"
    for file in /usr/bin/redis-server /usr/bin/redis-cli; do
        cp --parents --dereference "$file" $(ldd "$file" | grep -o '/[^ ]*') "$context/files"
    done
    # By default it is what the published image is: open to its network.
    cat >"$context/Dockerfile" <<'END'
FROM scratch
COPY files /
ENV PATH=/usr/bin
CMD ["redis-server", "--protected-mode", "no", "--dir", "/tmp"]
END
    docker build --quiet --tag wse-redis:dev --tag redis:7.4 "$context"
    rm -rf "$context"
}

# Installs Debian packages whose program is missing: `packages PROGRAM PACKAGE...`. What they contain does not start
# services of its own.
packages() {
    local missing=() policy=/usr/sbin/policy-rc.d made=
    while (($#)); do
        command -v "$1" >/dev/null || missing+=("$2")
        shift 2
    done
    ((${#missing[@]})) || return 0
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
        made=1
    fi
    step "installing ${missing[*]}" install_packages "${missing[@]}"
    [[ -z $made ]] || rm "$policy"
}

install_packages() {
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@"
}
