# Sourced by `up`. Nodes can be Ready and names resolve while a Service with more than one endpoint times out, so
# the check is: from each worker, by the Service's DNS name, both endpoints answer.

healthy() {
    local namespace="wse-health-$$" pod pods
    "${INSIDE[@]}" kubectl create namespace "$namespace" &&
        "${INSIDE[@]}" kubectl -n "$namespace" apply -f "$HERE/health.yaml" &&
        "${INSIDE[@]}" kubectl -n "$namespace" rollout status daemonset/health --timeout=90s &&
        pods=$("${INSIDE[@]}" kubectl -n "$namespace" get pods -o name) || return
    (($(wc -l <<<"$pods") == 2)) || return
    for pod in $pods; do
        sees_both "$namespace" "$pod" || return
    done
    "${INSIDE[@]}" kubectl delete namespace "$namespace" --wait=false
}

# Which endpoint answers is random: sixty calls miss one of two only in a cluster that is broken.
sees_both() {
    local namespace=$1 pod=$2 call answer first=
    for ((call = 0; call < 60; call++)); do
        answer=$("${INSIDE[@]}" timeout 5 kubectl -n "$namespace" exec "$pod" -- \
            redis-cli -h "health.$namespace.svc.cluster.local" info server | grep run_id) || continue
        first=${first:-$answer}
        [[ $answer == "$first" ]] || return 0
    done
    printf '%s reached fewer than two endpoints of the Service\n' "$pod"
    return 1
}
