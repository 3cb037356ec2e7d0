{{/* Names, labels, images, and the pieces that every pod is made of. */}}

{{- define "omnimatte.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 28 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- (contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name)) | trunc 28 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What a selector may lean on: nothing that changes with a version. Called with (dict "root" $ "component" "..."). */}}
{{- define "omnimatte.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
{{- with .component }}
app.kubernetes.io/component: {{ . | quote }}
{{- end }}
{{- with .group }}
omnimatte.dev/group: {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "omnimatte.labels" -}}
{{ include "omnimatte.podLabels" . }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | quote }}
{{- end -}}

{{/* A pod does not say which chart it is from: a new chart with the same image must not load every model again. */}}
{{- define "omnimatte.podLabels" -}}
{{ include "omnimatte.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: omnimatte
app.kubernetes.io/managed-by: {{ .root.Release.Service | quote }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Called with (dict "root" $ "image" .Values.image.models). */}}
{{- define "omnimatte.image" -}}
{{- $registry := default .root.Values.image.registry .image.registry -}}
{{- $name := printf "%s/%s" $registry .image.repository -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "omnimatte.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ int64 .Values.podSecurity.runAsUser }}
runAsGroup: {{ int64 .Values.podSecurity.runAsGroup }}
fsGroup: {{ int64 .Values.podSecurity.fsGroup }}
# Without this every start would change the owner of every file of a large volume.
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* The processes that decode uploads (services/sandbox) confine themselves and need no capability for it. */}}
{{- define "omnimatte.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "omnimatte.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* nodeSelector, tolerations, affinity, runtime class. Called with (dict "place" <values> "gpu" <gpu or nil>). */}}
{{- define "omnimatte.placement" -}}
{{- with .place.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- $tolerations := default list .place.tolerations }}
{{- if and .gpu (gt (int .gpu.count) 0) }}
{{- $tolerations = append $tolerations (dict "key" "nvidia.com/gpu" "operator" "Exists" "effect" "NoSchedule") }}
{{- end }}
{{- with $tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .place.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .place.runtimeClassName }}
runtimeClassName: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* Called with (dict "spread" <list> "selector" <text>). */}}
{{- define "omnimatte.spread" -}}
{{- with .spread }}
topologySpreadConstraints:
{{- range . }}
  - topologyKey: {{ .topologyKey | quote }}
    maxSkew: {{ int64 .maxSkew }}
    whenUnsatisfiable: {{ .whenUnsatisfiable | quote }}
    labelSelector:
      matchLabels: {{- $.selector | nindent 8 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Requests and limits; a GPU is both. Called with (dict "resources" <values> "gpu" <gpu or nil>). */}}
{{- define "omnimatte.resources" -}}
{{- $all := deepCopy .resources -}}
{{- if and .gpu (gt (int .gpu.count) 0) -}}
{{- $_ := set $all "limits" (merge (dict .gpu.resource (int64 .gpu.count)) $all.limits) -}}
{{- $_ := set $all "requests" (merge (dict .gpu.resource (int64 .gpu.count)) $all.requests) -}}
{{- end -}}
{{- toYaml $all -}}
{{- end -}}

{{- define "omnimatte.priorityClass" -}}
{{- if .own }}
priorityClassName: {{ .own | quote }}
{{- else if .root.Values.priorityClasses.create }}
priorityClassName: {{ include "omnimatte.fullname" .root }}-{{ .kind }}
{{- end }}
{{- end -}}

{{/* A map of plain variables. Called with the map. */}}
{{- define "omnimatte.env" -}}
{{- range $name, $value := . }}
- name: {{ $name | quote }}
  value: {{ $value | quote }}
{{- end }}
{{- end -}}

{{/* How every pod that touches artifacts reaches them. The bucket's keys come from a secret, never from values. */}}
{{- define "omnimatte.storeEnv" -}}
- name: OMNIMATTE_STORE
  value: {{ include "omnimatte.store" . | quote }}
{{- if .Values.store.s3.url }}
{{- with .Values.store.s3.region }}
- name: AWS_REGION
  value: {{ . | quote }}
{{- end }}
{{- with .Values.store.s3.endpoint }}
- name: AWS_ENDPOINT_URL
  value: {{ . | quote }}
{{- end }}
{{- if .Values.store.s3.allowHttp }}
- name: AWS_ALLOW_HTTP
  value: "true"
{{- end }}
{{- if eq .Values.store.s3.credentials "secret" }}
{{- range list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
- name: {{ . | quote }}
  valueFrom:
    secretKeyRef:
      name: {{ $.Values.store.s3.secret | quote }}
      key: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "omnimatte.store" -}}
{{- default "/store" .Values.store.s3.url -}}
{{- end -}}

{{- define "omnimatte.observeEnv" -}}
- name: OMNIMATTE_LOG_FORMAT
  value: {{ .Values.logFormat | quote }}
{{- with .Values.tracing.endpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* What a pod that runs stages has in its environment. Called with (dict "root" $ "of" <group or workers>). */}}
{{- define "omnimatte.stageEnv" -}}
{{ include "omnimatte.storeEnv" .root }}
{{ include "omnimatte.observeEnv" .root }}
- name: OMNIMATTE_PROFILE
  value: {{ .root.Values.profile | quote }}
- name: OMNIMATTE_PROVIDER
  value: {{ .of.provider | quote }}
- name: OMNIMATTE_THREADS
  value: {{ int64 .of.threads | quote }}
- name: OMP_NUM_THREADS
  value: {{ int64 .of.threads | quote }}
{{ include "omnimatte.homeEnv" . }}
- name: OMNIMATTE_ENGINES
  value: {{ and .root.Values.engines.enabled (eq .of.provider "tensorrt") | ternary "/engines" "/scratch/engines" | quote }}
{{- if .root.Values.weights.enabled }}
- name: OMNIMATTE_WEIGHTS
  value: /weights
{{- end }}
{{- include "omnimatte.env" .of.env }}
{{- end -}}

{{/* The root file system cannot be written to: whatever writes somewhere writes to the scratch volume. */}}
{{- define "omnimatte.homeEnv" -}}
- name: HOME
  value: /scratch
- name: TMPDIR
  value: /scratch
{{- end -}}

{{- define "omnimatte.stageVolumeMounts" -}}
- {name: scratch, mountPath: /scratch}
- {name: tmp, mountPath: /tmp}
- {name: shm, mountPath: /dev/shm}
{{- if .root.Values.store.claim.enabled }}
- {name: store, mountPath: /store}
{{- end }}
{{- if .root.Values.weights.enabled }}
- {name: weights, mountPath: /weights, readOnly: true}
{{- end }}
{{- if and .root.Values.engines.enabled (eq .of.provider "tensorrt") }}
- {name: engines, mountPath: /engines}
{{- end }}
{{- end -}}

{{- define "omnimatte.stageVolumes" -}}
- name: scratch
  emptyDir:
    sizeLimit: {{ .of.scratch | quote }}
- name: tmp
  emptyDir:
    sizeLimit: 1Gi
- name: shm
  emptyDir:
    medium: Memory
    sizeLimit: {{ .of.sharedMemory | quote }}
{{- if .root.Values.store.claim.enabled }}
- name: store
  persistentVolumeClaim:
    claimName: {{ include "omnimatte.claim" (dict "root" .root "claim" .root.Values.store.claim "what" "store") | quote }}
{{- end }}
{{- if .root.Values.weights.enabled }}
- name: weights
  persistentVolumeClaim:
    claimName: {{ include "omnimatte.claim" (dict "root" .root "claim" .root.Values.weights.claim "what" "weights") | quote }}
    readOnly: true
{{- end }}
{{- if and .root.Values.engines.enabled (eq .of.provider "tensorrt") }}
- name: engines
  persistentVolumeClaim:
    claimName: {{ include "omnimatte.claim" (dict "root" .root "claim" .root.Values.engines.claim "what" "engines") | quote }}
{{- end }}
{{- end -}}

{{/* Name of a claim: the one that exists, or the chart's own. */}}
{{- define "omnimatte.claim" -}}
{{- default (printf "%s-%s" (include "omnimatte.fullname" .root) .what) .claim.existing -}}
{{- end -}}

{{/* A claim of the chart's own. It outlives the release: nobody loses results by `helm uninstall`. */}}
{{- define "omnimatte.ownClaim" -}}
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {{ include "omnimatte.claim" . | quote }}
  namespace: {{ .root.Release.Namespace | quote }}
  labels: {{- include "omnimatte.labels" (dict "root" .root "component" .what) | nindent 4 }}
  annotations:
    helm.sh/resource-policy: keep
spec:
  accessModes: [{{ .claim.accessMode }}]
  {{- with .claim.storageClass }}
  storageClassName: {{ . | quote }}
  {{- end }}
  resources:
    requests:
      storage: {{ .claim.size | quote }}
{{- end -}}

{{/* All enabled model groups, each over the defaults: name -> group, as JSON. */}}
{{- define "omnimatte.groups" -}}
{{- $out := dict -}}
{{- range $name, $own := .Values.models -}}
{{- $group := mustMergeOverwrite (deepCopy $.Values.modelDefaults) (deepCopy (default dict $own)) -}}
{{- if $group.enabled -}}
{{- $_ := set $out $name $group -}}
{{- end -}}
{{- end -}}
{{- toJson $out -}}
{{- end -}}

{{- define "omnimatte.tlsSecret" -}}
{{- default (printf "%s-tls" (include "omnimatte.fullname" .)) .Values.tls.secret -}}
{{- end -}}

{{- define "omnimatte.modelsTlsSecret" -}}
{{- default (printf "%s-models-tls" (include "omnimatte.fullname" .)) .Values.tls.models.secret -}}
{{- end -}}

{{- define "omnimatte.tokenMounted" -}}
{{- .Values.workers.enabled -}}
{{- end -}}

{{/* Whether the API answers. The kubelet's gRPC probe speaks no TLS; then an open port has to do: it opens when the
replica serves, and closes when it stops. */}}
{{- define "omnimatte.answers" -}}
{{- if .Values.tls.enabled -}}
tcpSocket: {port: grpc}
{{- else -}}
grpc: {port: 8000}
{{- end -}}
{{- end -}}

{{/* Names of the weights that the chart brings, with commas between them; none if the volume was filled by others. */}}
{{- define "omnimatte.weightNames" -}}
{{- if .Values.weights.enabled -}}
{{- concat .Values.weights.names .Values.weights.folder.names | uniq | join ", " -}}
{{- end -}}
{{- end -}}

{{- define "omnimatte.behavior" -}}
scaleUp:
  # At once: the ages have waited already.
  stabilizationWindowSeconds: 0
  policies:
    - {type: Pods, value: {{ int64 .scaleUp.pods }}, periodSeconds: {{ int64 .scaleUp.periodSeconds }}}
scaleDown:
  stabilizationWindowSeconds: {{ int64 .scaleDown.stabilizationSeconds }}
  policies:
    - {type: Pods, value: {{ int64 .scaleDown.pods }}, periodSeconds: {{ int64 .scaleDown.periodSeconds }}}
{{- end -}}
