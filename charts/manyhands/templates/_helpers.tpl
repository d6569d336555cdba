{{/* Names, labels, images, and what values exclude each other. */}}

{{- define "manyhands.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end }}

{{/* Suffixes follow: 63 letters are the most. */}}
{{- define "manyhands.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "manyhands.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "manyhands.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "manyhands.cluster" -}}
{{- default (include "manyhands.fullname" . | lower | trunc 20 | trimSuffix "-") .Values.cluster -}}
{{- end }}

{{- define "manyhands.sandboxes.namespace" -}}
{{- default .Release.Namespace .Values.sandboxes.namespace.name -}}
{{- end }}

{{- define "manyhands.sandboxes.apart" -}}
{{- if ne (include "manyhands.sandboxes.namespace" .) .Release.Namespace }}yes{{ end -}}
{{- end }}

{{/* Arguments: root, component. What selectors go by never changes. */}}
{{- define "manyhands.selector" -}}
app.kubernetes.io/name: {{ include "manyhands.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{/* Arguments: root, component, labels. */}}
{{- define "manyhands.labels" -}}
{{ include "manyhands.selector" . }}
app.kubernetes.io/part-of: manyhands
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- with .labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Arguments: root, component, name, namespace, labels, annotations (a map). */}}
{{- define "manyhands.metadata" -}}
name: {{ .name | quote }}
namespace: {{ default .root.Release.Namespace .namespace | quote }}
labels:
  {{- include "manyhands.labels" . | nindent 2 }}
{{- with merge (dict) (default dict .annotations) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Arguments: root, image, with an own tag or not. */}}
{{- define "manyhands.image" -}}
{{- $registry := .root.Values.global.imageRegistry | default .image.registry -}}
{{- with $registry }}{{ . | trimSuffix "/" }}/{{ end -}}
{{- .image.repository -}}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag | default .root.Chart.AppVersion }}{{ end -}}
{{- end }}

{{- define "manyhands.serviceAccount" -}}
{{ include "manyhands.fullname" .root }}-{{ .component }}
{{- end }}

{{/* Names of Secrets, made or given. */}}
{{- define "manyhands.secret" -}}
{{- default (printf "%s-%s" (include "manyhands.fullname" .root) .part) (get .root.Values.secrets.existing .part) -}}
{{- end }}

{{/* Whether keys are made here. */}}
{{- define "manyhands.makes-keys" -}}
{{- $given := .Values.secrets.existing -}}
{{- if not (or $given.gateway $given.supervisor $given.nats) }}yes{{ end -}}
{{- end }}

{{/* NATS: ours or another's. */}}
{{- define "manyhands.nats.fullname" -}}
{{ include "manyhands.fullname" . }}-nats
{{- end }}

{{- define "manyhands.nats.scheme" -}}
{{ ternary "tls" "nats" .Values.nats.tls.enabled }}
{{- end }}

{{- define "manyhands.nats.service" -}}
{{ include "manyhands.nats.fullname" . }}.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}
{{- end }}

{{/* Each server by its own name: the client goes on to the next. */}}
{{- define "manyhands.nats.url" -}}
{{- if .Values.nats.enabled -}}
{{- $name := include "manyhands.nats.fullname" . -}}
{{- $urls := list -}}
{{- range $number := until (int .Values.nats.replicas) -}}
{{- $urls = append $urls (printf "%s://%s-%d.%s-headless.%s.svc.%s:4222" (include "manyhands.nats.scheme" $) $name $number $name $.Release.Namespace $.Values.clusterDomain) -}}
{{- end -}}
{{- join "," $urls -}}
{{- else -}}
{{- .Values.nats.external.url -}}
{{- end -}}
{{- end }}

{{/* One name, which the supervisor looks up for pods that have no DNS. */}}
{{- define "manyhands.nats.worker-url" -}}
{{- if .Values.nats.enabled -}}
{{ include "manyhands.nats.scheme" . }}://{{ include "manyhands.nats.service" . }}:4222
{{- else -}}
{{- .Values.nats.external.workerUrl | default (.Values.nats.external.url | splitList "," | first | trim) -}}
{{- end -}}
{{- end }}

{{- define "manyhands.nats.replicas" -}}
{{- ternary .Values.nats.replicas .Values.nats.external.replicas .Values.nats.enabled | int -}}
{{- end }}

{{- define "manyhands.nats.port" -}}
{{- ternary 4222 .Values.nats.external.port .Values.nats.enabled | int -}}
{{- end }}

{{- define "manyhands.nats.tls-secret" -}}
{{- default (printf "%s-tls" (include "manyhands.nats.fullname" .)) .Values.nats.tls.existingSecret -}}
{{- end }}

{{/* The Secret with the authority of NATS, if there is one. */}}
{{- define "manyhands.nats.ca-secret" -}}
{{- if .Values.nats.enabled -}}
{{- if .Values.nats.tls.enabled }}{{ include "manyhands.nats.tls-secret" . }}{{ end -}}
{{- else -}}
{{- .Values.nats.external.caSecret -}}
{{- end -}}
{{- end }}

{{- define "manyhands.test.host" -}}
{{ include "manyhands.fullname" . }}-test.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}
{{- end }}

{{/* Arguments: root, api, value. */}}
{{- define "manyhands.needs-api" -}}
{{- include "manyhands.check" .root -}}
{{- if not (or .root.Values.assumeApis (.root.Capabilities.APIVersions.Has .api)) -}}
{{- fail (printf "%s takes the API %s, which this cluster does not have; where no cluster is asked, set assumeApis" .value .api) -}}
{{- end -}}
{{- end }}

{{/* What the schema cannot say. */}}
{{- define "manyhands.check" -}}
{{- $nats := .Values.nats -}}
{{- if and $nats.enabled $nats.external.url -}}
{{- fail "nats.external.url names NATS of somebody else: set nats.enabled to false" -}}
{{- end -}}
{{- if not (or $nats.enabled $nats.external.url) -}}
{{- fail "there is no NATS: set nats.enabled, or nats.external.url" -}}
{{- end -}}
{{- if and $nats.tls.enabled (not (or $nats.tls.existingSecret $nats.tls.certManager.enabled)) -}}
{{- fail "nats.tls.enabled takes a certificate: nats.tls.existingSecret, or nats.tls.certManager.enabled" -}}
{{- end -}}
{{- if and $nats.tls.existingSecret $nats.tls.certManager.enabled -}}
{{- fail "nats.tls.existingSecret and nats.tls.certManager exclude each other" -}}
{{- end -}}
{{- if and $nats.tls.certManager.enabled (not $nats.tls.certManager.issuerRef.name) -}}
{{- fail "nats.tls.certManager.enabled takes nats.tls.certManager.issuerRef.name" -}}
{{- end -}}
{{- if and (not $nats.enabled) .Values.networkPolicy.enabled (not $nats.external.peers) -}}
{{- fail "nats.external.peers must say where network policies let the parts go to NATS" -}}
{{- end -}}
{{- $given := .Values.secrets.existing -}}
{{- if not (include "manyhands.makes-keys" .) -}}
{{- if not (and $given.gateway $given.supervisor (or $given.nats (not $nats.enabled))) -}}
{{- fail "secrets.existing must name all Secrets or none: gateway, supervisor, and nats where NATS is made here" -}}
{{- end -}}
{{- else if not $nats.enabled -}}
{{- fail "NATS of somebody else takes its accounts from `manyhands init`: give secrets.existing.gateway and secrets.existing.supervisor" -}}
{{- end -}}
{{- if and (or .Values.ingress.enabled .Values.httpRoute.enabled) .Values.networkPolicy.enabled (not .Values.networkPolicy.clients) -}}
{{- fail "ingress and httpRoute take networkPolicy.clients: who sends requests to the gateways, such as the namespace of the ingress controller" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- fail "ingress.enabled takes ingress.hosts" -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) -}}
{{- fail "httpRoute.enabled takes httpRoute.parentRefs" -}}
{{- end -}}
{{- if lt (int .Values.gateway.drain.terminationGracePeriodSeconds) (add 30 (int .Values.gateway.drain.preStopSeconds)) -}}
{{- fail "gateway.drain.terminationGracePeriodSeconds must be 30 more than preStopSeconds: what is under way takes so long" -}}
{{- end -}}
{{- $scaling := .Values.gateway.autoscaling -}}
{{- if $scaling.enabled -}}
{{- if lt (int $scaling.maxReplicas) (int $scaling.minReplicas) -}}
{{- fail "gateway.autoscaling.maxReplicas is less than minReplicas" -}}
{{- end -}}
{{- if not (or $scaling.targetCPUUtilizationPercentage $scaling.targetSockets) -}}
{{- fail "gateway.autoscaling takes targetCPUUtilizationPercentage or targetSockets" -}}
{{- end -}}
{{- end -}}
{{- if not (include "manyhands.sandboxes.apart" .) -}}
{{- if .Values.sandboxes.namespace.create -}}
{{- fail "sandboxes.namespace.create takes sandboxes.namespace.name, another one than the release's" -}}
{{- end -}}
{{- if or .Values.sandboxes.resourceQuota.enabled .Values.sandboxes.limitRange.enabled -}}
{{- fail "sandboxes.resourceQuota and sandboxes.limitRange count everything in their namespace: give sandboxes one of their own (sandboxes.namespace.name)" -}}
{{- end -}}
{{- end -}}
{{- if gt (float64 .Values.sandboxes.requestCpus) (float64 .Values.sandboxes.cpus) -}}
{{- fail "sandboxes.requestCpus is more than sandboxes.cpus" -}}
{{- end -}}
{{- if gt (int .Values.sandboxes.requestMemoryMib) (int .Values.sandboxes.memoryMib) -}}
{{- fail "sandboxes.requestMemoryMib is more than sandboxes.memoryMib" -}}
{{- end -}}
{{- end }}

{{/* What a certificate of NATS must be for. */}}
{{- define "manyhands.nats.names" -}}
{{- $name := include "manyhands.nats.fullname" . -}}
- {{ include "manyhands.nats.service" . }}
- "*.{{ $name }}-headless.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}"
{{- end }}
