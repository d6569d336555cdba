{{/* Arguments: root, component, name. The port of a pod that shows counts is called `metrics`. */}}
{{- define "manyhands.podmonitor" -}}
{{- include "manyhands.needs-api" (dict "root" .root "api" "monitoring.coreos.com/v1" "value" "monitoring.podMonitor.enabled") }}
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata:
  {{- include "manyhands.metadata" (merge (dict "labels" .root.Values.monitoring.labels) .) | nindent 2 }}
spec:
  selector:
    matchLabels:
      {{- include "manyhands.selector" . | nindent 6 }}
  podMetricsEndpoints:
    - port: metrics
      interval: {{ .root.Values.monitoring.interval | quote }}
{{- end }}
