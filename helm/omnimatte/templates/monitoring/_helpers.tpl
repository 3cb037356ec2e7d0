{{/*
Annotations of a pod that a Prometheus without the operator looks for; nothing unless monitoring.scrape says so.
Use: {{ include "omnimatte.monitoring.podAnnotations" (dict "root" . "port" 8010) }}
*/}}
{{- define "omnimatte.monitoring.podAnnotations" -}}
{{- $monitoring := .root.Values.monitoring -}}
{{- if and $monitoring.enabled (eq $monitoring.scrape "annotations") -}}
prometheus.io/scrape: "true"
prometheus.io/port: {{ .port | quote }}
prometheus.io/path: /metrics
{{- end -}}
{{- end -}}

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
