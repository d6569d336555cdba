{{/* Who is who in network policies, once. */}}

{{/* The labels that the supervisor gives to sandboxes' pods. */}}
{{- define "manyhands.worker-labels" -}}
app.kubernetes.io/name: manyhands
app.kubernetes.io/component: worker
manyhands.io/cluster: {{ include "manyhands.cluster" . | quote }}
{{- end }}

{{- define "manyhands.peer.workers" -}}
- namespaceSelector:
    matchLabels: { kubernetes.io/metadata.name: {{ include "manyhands.sandboxes.namespace" . | quote }} }
  podSelector:
    matchLabels:
      {{- include "manyhands.worker-labels" . | nindent 6 }}
{{- end }}

{{/* Pods of a part, in the namespace of the policy. Arguments: root, component. */}}
{{- define "manyhands.peer.part" -}}
- podSelector:
    matchLabels:
      {{- include "manyhands.selector" . | nindent 6 }}
{{- end }}

{{/* NATS, as every namespace sees it. */}}
{{- define "manyhands.nats.peers" -}}
{{- if .Values.nats.enabled -}}
- namespaceSelector:
    matchLabels: { kubernetes.io/metadata.name: {{ .Release.Namespace | quote }} }
  podSelector:
    matchLabels:
      {{- include "manyhands.selector" (dict "root" . "component" "nats") | nindent 6 }}
{{- else -}}
{{ toYaml .Values.nats.external.peers }}
{{- end -}}
{{- end }}

{{- define "manyhands.egress.nats" -}}
- to:
    {{- include "manyhands.nats.peers" . | nindent 4 }}
  ports:
    - { protocol: TCP, port: {{ include "manyhands.nats.port" . }} }
{{- end }}

{{- define "manyhands.egress.dns" -}}
{{- $dns := .Values.networkPolicy.dns -}}
- to:
    {{- with $dns.peers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- range $dns.cidrs }}
    - ipBlock: { cidr: {{ . | quote }} }
    {{- end }}
  ports:
    {{- range $dns.ports }}
    - { protocol: UDP, port: {{ . }} }
    - { protocol: TCP, port: {{ . }} }
    {{- end }}
{{- end }}

{{- define "manyhands.egress.kubernetes" -}}
{{- $api := .Values.networkPolicy.kubernetesApi -}}
- to:
    {{- range $api.cidrs }}
    - ipBlock: { cidr: {{ . | quote }} }
    {{- end }}
  ports:
    {{- range $api.ports }}
    - { protocol: TCP, port: {{ . }} }
    {{- end }}
{{- end }}

{{- define "manyhands.egress.telemetry" -}}
{{- with .Values.networkPolicy.telemetry -}}
- to:
    {{- toYaml . | nindent 4 }}
  ports:
    - { protocol: TCP, port: {{ $.Values.networkPolicy.telemetryPort }} }
{{- end -}}
{{- end }}

{{/* Who reads metrics. Arguments: root, port. */}}
{{- define "manyhands.ingress.monitoring" -}}
{{- with .root.Values.networkPolicy.monitoring -}}
- from:
    {{- toYaml . | nindent 4 }}
  ports:
    - { protocol: TCP, port: {{ $.port }} }
{{- end -}}
{{- end }}
