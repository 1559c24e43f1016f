# kind, kubectl and helm, built from the Go modules that go.mod pins.
# A program appears in its folder by rename, so one that is there is whole.

PROGRAMS="$CACHE/programs-$(key go.mod go.sum programs.sh offline/{kube,coredns,pause})"

# Builds Go packages into PROGRAMS, each named after the last part of its path.
build_programs() {
    command -v go >/dev/null || fail "needs Go to build $*; see https://go.dev/dl"
    local aside="$PROGRAMS.aside" of=k8s.io/component-base/version kubernetes helm minor
    kubernetes=$(version k8s.io/kubernetes)
    helm=$(version helm.sh/helm/v3)
    minor=${kubernetes#v1.}
    rm -rf "$aside"
    mkdir -p "$PROGRAMS"
    # kubeadm compares versions, so what Kubernetes' own build stamps into its programs has to be there.
    CGO_ENABLED=0 GOFLAGS='' go -C "$HERE" build -trimpath -buildvcs=false -o "$aside/" -ldflags "-s -w \
        -X $of.gitVersion=$kubernetes -X $of.gitMajor=1 -X $of.gitMinor=${minor%%.*} \
        -X $of.gitTreeState=clean -X $of.buildDate=1970-01-01T00:00:00Z \
        -X helm.sh/helm/v3/internal/version.version=$helm" "$@"
    mv "$aside"/* "$PROGRAMS/"
    rmdir "$aside"
}
