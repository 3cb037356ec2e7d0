{{/* Metadata of one of the objects here. Use: (dict "root" . "component" "orchestrator" "name" "rules") */}}
{{- define "omnimatte.monitoring.metadata" -}}
name: {{ printf "%s-%s" (include "omnimatte.fullname" .root | trunc 48 | trimSuffix "-") .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "omnimatte.labels" (dict "root" .root "component" .component) | nindent 2 }}
  {{- with .root.Values.monitoring.labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}
