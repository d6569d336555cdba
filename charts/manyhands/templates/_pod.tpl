{{/* What all pods have in common, once: who they are, what they may, their variables, their volumes. */}}

{{/* Without the release's version: a pod is not replaced for the sake of a label. Arguments: root, component, labels. */}}
{{- define "manyhands.pod.labels" -}}
{{ include "manyhands.selector" . }}
app.kubernetes.io/part-of: manyhands
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- with .labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Arguments: the values of a podSecurity, and the profile of AppArmor. */}}
{{- define "manyhands.pod.security" -}}
runAsNonRoot: true
{{- with .security.runAsUser }}
runAsUser: {{ int64 . }}
{{- end }}
{{- with .security.runAsGroup }}
runAsGroup: {{ int64 . }}
{{- end }}
{{- with .security.fsGroup }}
fsGroup: {{ int64 . }}
fsGroupChangePolicy: OnRootMismatch
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- with .appArmorProfile }}
appArmorProfile:
  type: {{ . }}
{{- end }}
{{- end }}

{{- define "manyhands.container.security" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Arguments: root, values (of a part), component. */}}
{{- define "manyhands.pod.placement" -}}
{{- with .root.Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- end }}

{{/* Arguments as above. The hash lets the new pods of an update be spread by themselves. */}}
{{- define "manyhands.pod.spread" -}}
topologySpreadConstraints:
{{- if .values.topologySpreadConstraints }}
  {{- toYaml .values.topologySpreadConstraints | nindent 2 }}
{{- else }}
{{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels:
        {{- include "manyhands.selector" $ | nindent 8 }}
{{- end }}
{{- end }}
{{- end }}

{{/*
Variables, each once: what the chart says, then what settings say. Arguments: root, own (a map), settings, fromSecrets, fixed (names
that the chart alone gives), extra (a list), where (of the values).
*/}}
{{- define "manyhands.env" -}}
{{- $plain := dict -}}
{{- range $name, $value := .own }}{{ $_ := set $plain $name $value }}{{ end -}}
{{- range $name, $value := .settings -}}
{{- if has $name $.fixed -}}
{{- fail (printf "%s.settings.%s: the chart itself gives this one" $.where $name) -}}
{{- end -}}
{{- $_ := set $plain $name $value -}}
{{- end -}}
{{- range $name, $from := .fromSecrets -}}
{{- if or (has $name $.fixed) (hasKey $.settings $name) -}}
{{- fail (printf "%s.settingsFromSecrets.%s: it has another value already" $.where $name) -}}
{{- end -}}
{{- $_ := unset $plain $name -}}
{{- end -}}
{{- range .extra -}}
{{- if or (hasKey $plain .name) (hasKey $.fromSecrets .name) -}}
{{- fail (printf "%s.extraEnv names %s, which has a value already" $.where .name) -}}
{{- end -}}
{{- end -}}
{{- range $name, $value := $plain }}
- name: {{ $name | quote }}
  {{- if or (kindIs "slice" $value) (kindIs "map" $value) }}
  value: {{ toJson $value | quote }}
  {{- else if or (kindIs "float64" $value) (kindIs "int64" $value) (kindIs "int" $value) }}
  value: {{ include "manyhands.number" $value | quote }}
  {{- else }}
  value: {{ toString $value | quote }}
  {{- end }}
{{- end }}
{{- range $name, $from := .fromSecrets }}
- name: {{ $name | quote }}
  valueFrom:
    secretKeyRef:
      name: {{ $from.name | quote }}
      key: {{ $from.key }}
{{- end }}
{{- with .extra }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What all parts are told, as a text of YAML. */}}
{{- define "manyhands.env.common" -}}
OH_KEYS_DIR: /keys
OH_NATS_URL: {{ include "manyhands.nats.url" . | quote }}
OH_METRICS_ADDRESS: "0.0.0.0:9464"
LOG_JSON: "1"
{{- if include "manyhands.nats.ca-secret" . }}
OH_NATS_CA_FILE: /tls/ca.crt
{{- end }}
{{- with .Values.telemetry.otlp.endpoint }}
OTEL_EXPORTER_OTLP_ENDPOINT: {{ . | quote }}
{{- end }}
{{- end }}

{{/* A number as a setting has it: without an exponent. */}}
{{- define "manyhands.number" -}}
{{- if eq (float64 .) (floor (float64 .)) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end }}

{{/* Arguments: root, part. Files that only this part has. */}}
{{- define "manyhands.volumes" -}}
{{- $keys := .root.Values.secrets.keys -}}
- name: keys
  secret:
    secretName: {{ include "manyhands.secret" . | quote }}
    defaultMode: 0440
    items:
    {{- if eq .part "gateway" }}
      - { key: {{ $keys.gatewayCredentials | quote }}, path: credentials.json }
      - { key: {{ $keys.secretKey | quote }}, path: secret_key }
      - { key: {{ $keys.sessionKey | quote }}, path: session_key }
    {{- else }}
      - { key: {{ $keys.supervisorCredentials | quote }}, path: credentials.json }
      - { key: {{ $keys.minter | quote }}, path: minter.json }
    {{- end }}
{{- include "manyhands.volume.ca" .root }}
{{- end }}

{{- define "manyhands.volume.ca" -}}
{{- with include "manyhands.nats.ca-secret" . }}
- name: tls
  secret:
    secretName: {{ . | quote }}
    defaultMode: 0440
    items:
      - { key: ca.crt, path: ca.crt }
{{- end }}
{{- end }}

{{- define "manyhands.mounts" -}}
- name: keys
  mountPath: /keys/{{ .part }}
  readOnly: true
{{- if include "manyhands.nats.ca-secret" .root }}
- name: tls
  mountPath: /tls
  readOnly: true
{{- end }}
{{- end }}

{{/* The token of a service account, for an hour, only where the API server is asked. */}}
{{- define "manyhands.volume.token" -}}
- name: token
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken:
          path: token
          expirationSeconds: 3600
      - configMap:
          name: kube-root-ca.crt
          items:
            - { key: ca.crt, path: ca.crt }
      - downwardAPI:
          items:
            - path: namespace
              fieldRef:
                apiVersion: v1
                fieldPath: metadata.namespace
{{- end }}

{{- define "manyhands.mount.token" -}}
- name: token
  mountPath: /var/run/secrets/kubernetes.io/serviceaccount
  readOnly: true
{{- end }}
