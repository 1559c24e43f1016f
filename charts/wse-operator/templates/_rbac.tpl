{{- /* What the operator may in a namespace whose WseClusters it looks after, and no more. What it makes for a cluster
goes with the cluster, by owner references, so it deletes only ReplicaSets, and pods that are no gateways. */}}
{{- define "wse-operator.rules" -}}
- apiGroups: [wse.dev]
  resources: [wseclusters]
  verbs: [get, list, watch]
- apiGroups: [wse.dev]
  resources: [wseclusters/status]
  verbs: [patch]
# Where OwnerReferencesPermissionEnforcement is on, as on OpenShift, an owner reference that blocks deletion takes this.
- apiGroups: [wse.dev]
  resources: [wseclusters/finalizers]
  verbs: [update]
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [get, list, watch, create, patch, delete]
# It makes one pod itself, which tries kernel settings that a kubelet may forbid, and removes it, and pods that a kubelet
# turned away.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services, configmaps, serviceaccounts]
  verbs: [get, list, watch, create, patch]
# It reads the token that it made. It cannot list: the Secrets of people are mounted into gateways, never read.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, patch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{- /* What it reads of the Kubernetes cluster: the versions of kubelets and kernels say which settings pods may have. It
does without where it may not. */}}
{{- define "wse-operator.nodeRules" -}}
- apiGroups: [""]
  resources: [nodes]
  verbs: [get, list, watch]
{{- end }}

{{- define "wse-operator.subjects" -}}
- kind: ServiceAccount
  name: {{ include "wse-operator.serviceAccount" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{- /* Releases of one name in two namespaces do not share a ClusterRole. */}}
{{- define "wse-operator.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "wse-operator.fullname" .) }}
{{- end }}
