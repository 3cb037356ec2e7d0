{{/* The files that the orchestrator reads. Secrets never stand in them. */}}

{{/* Its settings: what values say, and what only the chart can know. */}}
{{- define "omnimatte.serve" -}}
{{- $name := include "omnimatte.fullname" . -}}
{{- $own := .Values.orchestrator -}}
{{- $settings := deepCopy $own.settings -}}
{{- $access := default dict $settings.access -}}
{{- $files := default dict $settings.files -}}
{{- if .Values.tls.enabled -}}
{{- $tls := dict "certificate" "/etc/omnimatte/tls/tls.crt" "key" "/etc/omnimatte/tls/tls.key" -}}
{{- if $files.port -}}{{- $_ := set $files "tls" (deepCopy $tls) -}}{{- end -}}
{{- if .Values.tls.clientCa.secret -}}{{- $_ := set $tls "client_ca" "/etc/omnimatte/client-ca/ca.crt" -}}{{- end -}}
{{- $_ := set $access "tls" $tls -}}
{{- end -}}
{{- if $access.jwt -}}{{- $_ := set $access.jwt "keys" "/etc/omnimatte/jwt/keys" -}}{{- end -}}
{{- if $files.port -}}{{- $_ := set $files "host" "0.0.0.0" -}}{{- end -}}
{{- if $files -}}{{- $_ := set $settings "files" $files -}}{{- end -}}
{{- $_ := set $settings "access" $access -}}
{{- $_ := set $settings "store" (include "omnimatte.store" .) -}}
{{- $_ := set $settings "host" "0.0.0.0" -}}
{{- $_ := set $settings "port" 8000 -}}
{{- $_ := set $settings "metrics_host" "0.0.0.0" -}}
{{- $_ := set $settings "metrics_port" 8010 -}}
{{- $_ := set $settings "replicas" (int64 $own.replicas) -}}
{{- $_ := set $settings "profile" .Values.profile -}}
{{- $models := dict -}}
{{- $limits := dict -}}
{{- range $group, $of := fromJson (include "omnimatte.groups" .) -}}
{{- range $of.stages -}}
{{- $_ := set $models . (printf "%s-%s.%s.svc.%s:8001" $name $group $.Release.Namespace $.Values.clusterDomain) -}}
{{- end -}}
{{- range $stage, $limit := $of.stageLimits -}}{{- $_ := set $limits $stage (int64 $limit) -}}{{- end -}}
{{- end -}}
{{- $_ := set $settings "models" $models -}}
{{- if $limits -}}{{- $_ := set $settings "stage_limits" $limits -}}{{- end -}}
{{- if .Values.tls.models.enabled -}}
{{- $at := "/etc/omnimatte/models-tls" -}}
{{- $_ := set $settings "models_tls" (dict "ca" (printf "%s/ca.crt" $at) "certificate" (printf "%s/tls.crt" $at) "key" (printf "%s/tls.key" $at) "name" (printf "%s-models" $name)) -}}
{{- end -}}
{{- $_ := set $settings "tenants" "/etc/omnimatte/tenants.toml" -}}
{{- if .Values.workers.enabled -}}
{{- $shards := deepCopy .Values.workers.settings -}}
{{- $_ := set $shards "namespace" .Release.Namespace -}}
{{- $_ := set $shards "template" "/etc/omnimatte/worker-pod.yaml" -}}
{{- if and (not $shards.priority_class) .Values.priorityClasses.create -}}
{{- $_ := set $shards "priority_class" (printf "%s-batch" $name) -}}
{{- end -}}
{{- $_ := set $settings "shards" $shards -}}
{{- end -}}
{{/* JSON has no infinity; YAML has, but not in quotes. */}}
{{- toYaml $settings | replace "\".inf\"" ".inf" | replace "'.inf'" ".inf" -}}
{{- end -}}

{{- define "omnimatte.tenants" -}}
{{- with .Values.tenants.default -}}
[default]
{{ include "omnimatte.tenant" . }}
{{- end }}
{{- range $name, $tenant := .Values.tenants.tenants }}
[tenants.{{ $name | quote }}]
{{ include "omnimatte.tenant" $tenant }}
{{- end }}
{{- end -}}

{{- define "omnimatte.tenant" -}}
{{- if hasKey . "weight" }}weight = {{ printf "%f" (float64 .weight) }}
{{ end }}
{{- if hasKey . "running" }}running = {{ int64 .running }}
{{ end }}
{{- if hasKey . "pending" }}pending = {{ int64 .pending }}
{{ end }}
{{- end -}}

{{/* The pod of a worker Job. The orchestrator adds the Job around it: labels, failure policy, OMNIMATTE_RUN. */}}
{{- define "omnimatte.workerPod" -}}
{{- $name := include "omnimatte.fullname" . -}}
{{- $workers := .Values.workers -}}
metadata:
  labels: {{- include "omnimatte.podLabels" (dict "root" . "component" "worker") | nindent 4 }}
  {{- if or $workers.podAnnotations $workers.keepNode }}
  annotations:
    {{- if $workers.keepNode }}
    cluster-autoscaler.kubernetes.io/safe-to-evict: "false"
    karpenter.sh/do-not-disrupt: "true"
    {{- end }}
    {{- with $workers.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
spec:
  restartPolicy: Never
  serviceAccountName: {{ $name }}-pods
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ int64 $workers.drainSeconds }}
  securityContext: {{- include "omnimatte.podSecurity" . | nindent 4 }}
  {{- with include "omnimatte.pullSecrets" . }}{{ . | nindent 2 }}{{ end }}
  {{- with include "omnimatte.placement" (dict "place" $workers "gpu" $workers.gpu) }}{{ . | nindent 2 }}{{ end }}
  {{- with include "omnimatte.priorityClass" (dict "root" . "own" $workers.settings.priority_class "kind" "batch") }}{{ . | nindent 2 }}{{ end }}
  containers:
    - name: worker
      image: {{ include "omnimatte.image" (dict "root" . "image" .Values.image.models) | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy | quote }}
      command: [python, -m, services.worker]
      workingDir: /opt/omnimatte
      env: {{- include "omnimatte.stageEnv" (dict "root" . "of" $workers) | nindent 8 }}
      resources: {{- include "omnimatte.resources" (dict "resources" $workers.resources "gpu" $workers.gpu) | nindent 8 }}
      securityContext: {{- include "omnimatte.containerSecurity" . | nindent 8 }}
      volumeMounts: {{- include "omnimatte.stageVolumeMounts" (dict "root" . "of" $workers) | nindent 8 }}
  volumes: {{- include "omnimatte.stageVolumes" (dict "root" . "of" $workers) | nindent 4 }}
{{- end -}}
