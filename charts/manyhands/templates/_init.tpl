{{/* Everything of the job is a hook: it is there before the release is, and goes when the keys are made. */}}
{{/* Arguments: root, weight. */}}
{{- define "manyhands.init.metadata" -}}
{{- $annotations := dict "helm.sh/hook" "pre-install,pre-upgrade" "helm.sh/hook-weight" (.weight | toString) "helm.sh/hook-delete-policy" "before-hook-creation,hook-succeeded" -}}
{{- include "manyhands.metadata" (dict "root" .root "component" "init" "name" (printf "%s-init" (include "manyhands.fullname" .root)) "annotations" $annotations) -}}
{{- end }}
