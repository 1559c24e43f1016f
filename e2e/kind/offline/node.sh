# The node image, as `kind build node-image` would make it: a base with systemd and containerd, Kubernetes' programs,
# and in containerd's store every image that kubeadm asks for. Each image here is named after what it is made of.

BASE=wse-kind-base:$(key go.mod offline/base.sh)
NODE=wse-kind-node:$(key go.mod go.sum programs.sh offline/{kube,coredns,pause,base.sh,node.sh,kindnet.yaml,storage.yaml})

node_image() {
    if ! has_image "$NODE"; then
        has_image "$BASE" || step 'base of the node image' "$HERE/offline/base.sh" "$BASE" "$CACHE/base"
        step 'node image' make_node_image
    fi
}

has_image() {
    docker image inspect "$1" >/dev/null 2>&1
}

make_node_image() {
    local kubernetes root="$CACHE/node" node name
    kubernetes=$(version k8s.io/kubernetes)
    make_kube_images "$kubernetes" "$CACHE/layer"

    rm -rf "$root"
    mkdir -p "$root"/usr/{bin,local/bin} "$root/kind/manifests"
    cp "$PROGRAMS/kube" "$root/usr/bin/"
    for name in kubelet kubeadm kubectl; do
        ln -s kube "$root/usr/bin/$name"
    done
    ln -s /usr/bin/kube "$root/usr/local/bin/crictl"
    printf '%s' "$kubernetes" >"$root/kind/version"
    cp "$HERE/offline/kindnet.yaml" "$root/kind/manifests/default-cni.yaml"
    cp "$HERE/offline/storage.yaml" "$root/kind/manifests/default-storage.yaml"

    node=$(docker run --detach --privileged --entrypoint containerd "$BASE")
    tar -C "$root" -c . | docker cp - "$node:/"
    docker exec "$node" sh -c 'until ctr version; do sleep 0.1; done' >/dev/null
    # Not unpacked, like kind's own: a node unpacks what it runs.
    docker save $(kube_images "$kubernetes") |
        docker exec --interactive "$node" ctr --namespace k8s.io images import --all-platforms --no-unpack --digests -
    docker stop "$node"
    # systemd tells by the variable that it is in a container, and stops on a signal of its own.
    docker build --tag "$NODE" - <<END
FROM $(docker commit "$node")
ENV container=docker
STOPSIGNAL SIGRTMIN+3
ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]
END
    docker rm "$node"
    docker rmi $(kube_images "$kubernetes")
    rm -rf "$root"
}

kube_images() {
    "$PROGRAMS/kube" kubeadm config images list --kubernetes-version "$1"
    printf 'wse-kindnet:dev\n'
}

# One layer for all: the multicall binary under each of its names, and the iptables that kube-proxy and kindnet call.
make_kube_images() {
    local kubernetes=$1 layer=$2 image name
    rm -rf "$layer"
    mkdir -p "$layer"/{tmp,usr/local/bin}
    chmod 1777 "$layer/tmp"
    docker run --rm --entrypoint sh "$BASE" -c '
        programs="/usr/sbin/iptables* /usr/sbin/ip6tables* /usr/sbin/conntrack /usr/lib/*/xtables/*.so"
        tar -ch $programs $(ldd $programs | grep -o "[[:space:]]/[^ ]*" | sort -u) 2>/dev/null' | tar -C "$layer" -x
    cp "$PROGRAMS"/{kube,coredns,pause} "$layer/usr/local/bin/"
    for name in kube-apiserver kube-controller-manager kube-scheduler kube-proxy etcd kindnet; do
        ln -s kube "$layer/usr/local/bin/$name"
    done
    tar -C "$layer" --sort=name -c . | docker import --change 'ENV PATH=/usr/local/bin:/usr/sbin' - wse-kind-layer:dev
    for image in $(kube_images "$kubernetes"); do
        name=${image##*/}
        name=${name%:*}
        printf 'FROM wse-kind-layer:dev\nENTRYPOINT ["%s"]\n' "${name#wse-}" | docker build --quiet --tag "$image" -
    done
    docker rmi wse-kind-layer:dev
    rm -rf "$layer"
}
