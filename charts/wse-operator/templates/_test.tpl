{{- define "wse-operator.test.name" -}}
{{- printf "%s-verify" (include "wse-operator.fullname" . | trunc 56 | trimSuffix "-") }}
{{- end }}

{{- /* Where the test makes its fleet. */}}
{{- define "wse-operator.test.namespace" -}}
{{- .Values.watchNamespaces | first | default .Release.Namespace }}
{{- end }}

{{- /* Labels of its own, so that no selector of the operator's pods matches the test's. */}}
{{- define "wse-operator.test.selector" -}}
app.kubernetes.io/name: {{ include "wse-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: test
{{- end }}

{{- define "wse-operator.test.labels" -}}
{{ include "wse-operator.test.selector" . }}
{{ include "wse-operator.release" . }}
{{- end }}

{{- /* What the test's pod needs is there before it, and gone after a test that held. */}}
{{- define "wse-operator.test.before" -}}
helm.sh/hook: test
helm.sh/hook-weight: "-1"
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
