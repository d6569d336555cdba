{{/* What the servers are told, without their accounts: they are replaced when it changes. */}}
{{- define "manyhands.nats.config" -}}
{{- $name := include "manyhands.nats.fullname" . -}}
{{- $tls := .Values.nats.tls.enabled -}}
# Every message is on the disk before it is acknowledged.
server_name: $POD_NAME
port: 4222
http_port: 8222
pid_file: "/run/nats/nats.pid"
max_payload: 8MB
write_deadline: "10s"
lame_duck_grace_period: "10s"
lame_duck_duration: "30s"
jetstream {
  store_dir: /data/jetstream
  sync_interval: always
  max_file_store: {{ .Values.nats.storage.maxFileStore }}
}
{{- if $tls }}
tls {
  cert_file: "/tls/tls.crt"
  key_file: "/tls/tls.key"
  ca_file: "/tls/ca.crt"
}
{{- end }}
{{- if gt (int .Values.nats.replicas) 1 }}
cluster {
  name: {{ $name | quote }}
  port: 6222
  # Clients know the names that certificates are for, and not the addresses of pods.
  no_advertise: true
  {{- if $tls }}
  tls {
    cert_file: "/tls/tls.crt"
    key_file: "/tls/tls.key"
    ca_file: "/tls/ca.crt"
    verify: true
  }
  {{- end }}
  routes: [
    {{- range $number := until (int .Values.nats.replicas) }}
    {{ include "manyhands.nats.scheme" $ }}://{{ $name }}-{{ $number }}.{{ $name }}-headless.{{ $.Release.Namespace }}.svc.{{ $.Values.clusterDomain }}:6222
    {{- end }}
  ]
}
{{- end }}
# Public keys and accounts, made by `manyhands init`. The path is relative to this file.
include auth/auth.conf
{{- end }}
