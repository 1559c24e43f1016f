# The world where Docker works.

IMAGES=(wse-redis:dev)

# Prefers what is on PATH when its version will do.
world_start() {
    local wanted=() kubectl
    kubectl=$(kubectl version --client 2>/dev/null || true)
    has kind "$(kind version 2>/dev/null || true)" "kind $(version sigs.k8s.io/kind) *" ||
        wanted+=(sigs.k8s.io/kind)
    # kubectl supports servers one minor version away.
    has kubectl "$kubectl" 'Client Version: v1.3[345].*' || wanted+=(k8s.io/kubernetes/cmd/kubectl)
    has helm "$(helm version --short 2>/dev/null || true)" 'v3.*' || wanted+=(helm.sh/helm/v3/cmd/helm)
    ((${#wanted[@]} == 0)) || step "building ${wanted[*]##*/}" build_programs "${wanted[@]}"
}

# Whether a program is built already, or else the one on PATH says the right version.
has() {
    # shellcheck disable=SC2053  # the right side is a pattern
    [[ -x $PROGRAMS/$1 || $2 == $3 ]]
}

world_enter() {
    export PATH="$PROGRAMS:$PATH"
}

world_running() {
    command -v kind >/dev/null
}

world_stop() {
    true
}

world_images() {
    # Built rather than pulled and tagged: an image of one platform, which is what `kind load` can take.
    printf 'FROM redis:7.4\n' | docker build --quiet --tag wse-redis:dev -
}
