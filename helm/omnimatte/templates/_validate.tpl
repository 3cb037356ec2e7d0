{{/*
What the schema cannot say: values that are each right, and do not go together. One sentence for each, all at once, so that
nobody has to try ten times. Nothing is rendered where one of them holds.
*/}}
{{- define "omnimatte.problems" -}}
{{- $v := .Values -}}
{{- $own := $v.orchestrator -}}
{{- $found := list -}}
{{- $groups := fromJson (include "omnimatte.groups" .) -}}

{{/* Names and images. */}}
{{- if not (regexMatch "^[a-z]" (include "omnimatte.fullname" .)) -}}
{{- $found = append $found (printf "the name %s begins with a digit, and no Service may be called that: choose another release name, or set fullnameOverride." (include "omnimatte.fullname" .)) -}}
{{- end -}}
{{- range $what := list "orchestrator" "models" "postgres" -}}
{{- if eq (default "" (get $v.image $what).tag) "latest" -}}
{{- $found = append $found (printf "image.%s.tag is latest, which is another image tomorrow: name a version, or a digest." $what) -}}
{{- end -}}
{{- end -}}

{{/* The store. */}}
{{- if and $v.store.s3.url $v.store.claim.enabled -}}
{{- $found = append $found "store.s3.url and store.claim.enabled are both set: there is one store, so take one of them away." -}}
{{- else if not (or $v.store.s3.url $v.store.claim.enabled) -}}
{{- $found = append $found "no store: set store.s3.url to s3://bucket/prefix, or store.claim.enabled to true." -}}
{{- end -}}
{{- if and $v.store.s3.url (eq $v.store.s3.credentials "secret") (not $v.store.s3.secret) -}}
{{- $found = append $found "store.s3.secret is missing: name the secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or set store.s3.credentials to identity." -}}
{{- end -}}
{{- if and (hasPrefix "http://" $v.store.s3.endpoint) (not $v.store.s3.allowHttp) -}}
{{- $found = append $found "store.s3.endpoint has no TLS, so keys and clips would travel readable: use https://, or set store.s3.allowHttp to true for a trial." -}}
{{- end -}}
{{- if and $v.store.s3.url $v.store.s3.secret (eq $v.store.s3.credentials "identity") -}}
{{- $found = append $found "store.s3.secret is set, but store.s3.credentials is identity and does not use it: take one of them away." -}}
{{- end -}}

{{/* The database. */}}
{{- $databases := 0 -}}
{{- range list $v.database.external.secret $v.database.trial.enabled $v.database.sqlite.enabled -}}
{{- if . -}}{{- $databases = add1 $databases -}}{{- end -}}
{{- end -}}
{{- if eq (int $databases) 0 -}}
{{- $found = append $found "no database: set database.external.secret to a secret with a PostgreSQL URL, or, for a trial, database.trial.enabled or database.sqlite.enabled to true." -}}
{{- else if gt (int $databases) 1 -}}
{{- $found = append $found "more than one of database.external.secret, database.trial.enabled and database.sqlite.enabled is set: there is one database, so leave one of them." -}}
{{- end -}}
{{- if and $v.database.trial.enabled (not $v.database.trial.secret) -}}
{{- $found = append $found "database.trial.secret is missing: name the secret with the password of the trial database." -}}
{{- end -}}
{{- if and (gt (int $own.replicas) 1) $v.database.sqlite.enabled -}}
{{- $found = append $found (printf "orchestrator.replicas is %d, but a SQLite file has one writer: set database.external.secret, or orchestrator.replicas to 1." (int $own.replicas)) -}}
{{- else if and (gt (int $own.replicas) 1) (not $v.database.external.secret) -}}
{{- $found = append $found (printf "orchestrator.replicas is %d, but only an external PostgreSQL outlives a pod: set database.external.secret, or orchestrator.replicas to 1." (int $own.replicas)) -}}
{{- end -}}

{{/* Who may call. */}}
{{- $access := default dict $own.settings.access -}}
{{- $asks := or $access.api_keys $access.jwt -}}
{{- if not (or $asks $access.insecure) -}}
{{- $found = append $found "nothing says who may call: set orchestrator.settings.access.api_keys to true, or access.jwt, or, for a trial, access.insecure to true." -}}
{{- end -}}
{{- if and $asks $access.insecure -}}
{{- $found = append $found "orchestrator.settings.access.insecure lets everybody in, and access.api_keys or access.jwt asks who they are: take one of them away." -}}
{{- end -}}
{{- if and (ne $own.service.type "ClusterIP") (not $v.tls.enabled) -}}
{{- $found = append $found (printf "orchestrator.service.type is %s, so keys would travel readable through other networks: set tls.enabled to true, or the type to ClusterIP." $own.service.type) -}}
{{- end -}}
{{- if and (ne $own.service.type "ClusterIP") $access.insecure -}}
{{- $found = append $found (printf "orchestrator.service.type is %s and orchestrator.settings.access.insecure is true: everybody in the world could use the GPUs; ask for keys, or set the type to ClusterIP." $own.service.type) -}}
{{- end -}}
{{- if and $access.jwt (not $own.jwtKeys.secret) -}}
{{- $found = append $found "orchestrator.jwtKeys.secret is missing: name the secret with the keys that tokens are signed with (orchestrator.settings.access.jwt)." -}}
{{- end -}}
{{- if and $own.jwtKeys.secret (not $access.jwt) -}}
{{- $found = append $found "orchestrator.jwtKeys.secret is set, but orchestrator.settings.access.jwt with issuer and audience is missing." -}}
{{- end -}}
{{- if and $own.service.loadBalancerSourceRanges (ne $own.service.type "LoadBalancer") -}}
{{- $found = append $found (printf "orchestrator.service.loadBalancerSourceRanges does nothing with the type %s: set orchestrator.service.type to LoadBalancer, or take the ranges away." $own.service.type) -}}
{{- end -}}
{{- $files := default dict $own.settings.files -}}
{{- if $files.port -}}
{{- if has (int $files.port) (list 8000 8010 (int $own.service.port)) -}}
{{- $found = append $found (printf "orchestrator.settings.files.port is %d, which is taken: 8000 is the API's, 8010 the metrics', %d the Service's; take another." (int $files.port) (int $own.service.port)) -}}
{{- end -}}
{{- end -}}

{{/* Certificates. */}}
{{- if and $v.tls.enabled (not $v.tls.secret) (not $v.tls.certManager.enabled) -}}
{{- $found = append $found "tls.secret is missing: name the secret with tls.crt and tls.key, or set tls.certManager.enabled to true, or, inside a cluster, tls.enabled to false." -}}
{{- end -}}
{{- if and $v.tls.certManager.enabled (not $v.tls.enabled) -}}
{{- $found = append $found "tls.certManager.enabled is true, but tls.enabled is false: no server would use the certificate." -}}
{{- end -}}
{{- if and $v.tls.models.enabled (not $v.tls.models.secret) (not $v.tls.models.issuer.name) -}}
{{- $found = append $found "tls.models.secret is missing: name the secret with tls.crt, tls.key and ca.crt, or an issuer of cert-manager in tls.models.issuer.name." -}}
{{- end -}}
{{- if and $v.tls.certManager.enabled (not $v.tls.certManager.issuer.name) -}}
{{- $found = append $found "tls.certManager.issuer.name is missing: name the Issuer or ClusterIssuer." -}}
{{- end -}}
{{- if and $v.tls.clientCa.secret (not $v.tls.enabled) -}}
{{- $found = append $found "tls.clientCa.secret is set, but tls.enabled is false: without TLS nobody shows a certificate." -}}
{{- end -}}

{{/* Model groups. */}}
{{- $served := dict -}}
{{- range $name, $group := $groups -}}
{{- if not $group.stages -}}
{{- $found = append $found (printf "models.%s serves nothing: set models.%s.stages, or models.%s.enabled to false." $name $name $name) -}}
{{- end -}}
{{- range $group.stages -}}
{{- if hasKey $served . -}}
{{- $found = append $found (printf "the stage %s is in models.%s and in models.%s: leave it in one of them." . (get $served .) $name) -}}
{{- end -}}
{{- $_ := set $served . $name -}}
{{- end -}}
{{- range $stage, $_ := $group.stageLimits -}}
{{- if not (has $stage $group.stages) -}}
{{- $found = append $found (printf "models.%s.stageLimits names %s, which the group does not serve: it serves %s." $name $stage (join ", " $group.stages)) -}}
{{- end -}}
{{- end -}}
{{- $gpus := int $group.gpu.count -}}
{{- if and (has $group.provider (list "cuda" "tensorrt")) (eq $gpus 0) -}}
{{- $found = append $found (printf "models.%s.provider is %s, but the group has no GPU: set models.%s.gpu.count to 1, or the provider to cpu." $name $group.provider $name) -}}
{{- end -}}
{{- if and (ne $.Values.profile "compact") (has "casper" $group.stages) (eq $gpus 0) -}}
{{- $found = append $found (printf "the profile %s needs a GPU for casper: set models.%s.gpu.count to 1, or profile to compact." $.Values.profile $name) -}}
{{- end -}}
{{- if and (eq $.Values.profile "production") (has "depth" $group.stages) (not (has "casper" $group.stages)) (eq $gpus 0) -}}
{{- $found = append $found (printf "the profile production needs a GPU for depth: set models.%s.gpu.count to 1, or profile to commercial or compact." $name) -}}
{{- end -}}
{{- if lt (int $group.drainSeconds) (int $group.stepSeconds) -}}
{{- $found = append $found (printf "models.%s.drainSeconds is %d, less than a step (stepSeconds: %d): every drain would lose work; make it at least %d." $name (int $group.drainSeconds) (int $group.stepSeconds) (int $group.stepSeconds)) -}}
{{- end -}}
{{- if and (eq (int $group.strategy.maxSurge) 0) (eq (int $group.strategy.maxUnavailable) 0) -}}
{{- $found = append $found (printf "models.%s.strategy allows neither a pod more nor a pod less, so no version could roll out: set maxSurge or maxUnavailable to 1." $name) -}}
{{- end -}}
{{- $auto := $group.autoscaling -}}
{{- if and $auto.hpa.enabled $auto.keda.enabled -}}
{{- $found = append $found (printf "models.%s.autoscaling has both hpa and keda enabled: they would pull the same Deployment to and fro; leave one of them." $name) -}}
{{- end -}}
{{- if and (eq (int $auto.minReplicas) 0) (not $auto.keda.enabled) -}}
{{- $found = append $found (printf "models.%s.autoscaling.minReplicas is 0, but only KEDA can wake a Deployment that has no pod: set autoscaling.keda.enabled to true, or minReplicas to 1." $name) -}}
{{- end -}}
{{- if or $auto.hpa.enabled $auto.keda.enabled -}}
{{- if gt (int $auto.minReplicas) (int $auto.maxReplicas) -}}
{{- $found = append $found (printf "models.%s.autoscaling.minReplicas is %d, more than maxReplicas (%d)." $name (int $auto.minReplicas) (int $auto.maxReplicas)) -}}
{{- end -}}
{{- if lt (int $auto.scaleDown.stabilizationSeconds) (int $group.loadSeconds) -}}
{{- $found = append $found (printf "models.%s.autoscaling.scaleDown.stabilizationSeconds is %d, less than loading takes (loadSeconds: %d): pods would go and come and never work; make it at least %d." $name (int $auto.scaleDown.stabilizationSeconds) (int $group.loadSeconds) (int $group.loadSeconds)) -}}
{{- end -}}
{{- end -}}
{{- if $auto.keda.enabled -}}
{{- if not $.Values.prometheus.url -}}
{{- $found = append $found (printf "models.%s.autoscaling.keda.enabled is true, but prometheus.url is missing: KEDA has nobody to ask." $name) -}}
{{- end -}}
{{- if lt (int $auto.keda.cooldownSeconds) (int $group.loadSeconds) -}}
{{- $found = append $found (printf "models.%s.autoscaling.keda.cooldownSeconds is %d, less than loading takes (loadSeconds: %d); make it at least %d." $name (int $auto.keda.cooldownSeconds) (int $group.loadSeconds) (int $group.loadSeconds)) -}}
{{- end -}}
{{- end -}}
{{- if has $name (list "orchestrator" "orchestrators" "postgres" "tls" "jobs") -}}
{{- $found = append $found (printf "models.%s cannot be called that: the name is taken by another part of the release." $name) -}}
{{- end -}}
{{- end -}}
{{- $jobs := $v.workers.enabled | ternary (default list $v.workers.settings.stages) list -}}
{{- range list "ingest" "sam2" "preview" "plate" "casper" "ssr" "depth" "omnimatte" "finish" -}}
{{- if not (or (hasKey $served .) (has . $jobs)) -}}
{{- $found = append $found (printf "no model group serves the stage %s: add it to the stages of one in models." .) -}}
{{- end -}}
{{- end -}}

{{/* Workers. */}}
{{- if $v.workers.enabled -}}
{{- if lt (int $v.workers.drainSeconds) (int $v.workers.stepSeconds) -}}
{{- $found = append $found (printf "workers.drainSeconds is %d, less than a step (stepSeconds: %d): no checkpoint would be written; make it at least %d." (int $v.workers.drainSeconds) (int $v.workers.stepSeconds) (int $v.workers.stepSeconds)) -}}
{{- end -}}
{{- if and (has $v.workers.provider (list "cuda" "tensorrt")) (eq (int $v.workers.gpu.count) 0) -}}
{{- $found = append $found (printf "workers.provider is %s, but workers have no GPU: set workers.gpu.count to 1, or the provider to cpu." $v.workers.provider) -}}
{{- end -}}
{{- if and $v.workers.settings.batch_jobs (ne $v.profile "compact") (eq (int $v.workers.gpu.count) 0) -}}
{{- $found = append $found (printf "workers.settings.batch_jobs runs whole jobs in a worker, and the profile %s needs a GPU for them: set workers.gpu.count to 1." $v.profile) -}}
{{- end -}}
{{- end -}}

{{/* Weights and engines. */}}
{{- $names := concat $v.weights.names $v.weights.folder.names -}}
{{- if and (ne $v.profile "compact") (not $v.weights.enabled) -}}
{{- $found = append $found (printf "the profile %s needs published weights: set weights.enabled to true." $v.profile) -}}
{{- end -}}
{{- if $v.weights.enabled -}}
{{- if and (not $names) (not $v.weights.claim.existing) -}}
{{- $found = append $found "the weights volume would stay empty: set weights.names, weights.folder.names, or weights.claim.existing to a claim that is filled." -}}
{{- end -}}
{{- if and $names (not $v.weights.acceptLicence) -}}
{{- $found = append $found (printf "weights.acceptLicence is false: read the licences of %s (docs/weights.md), then set it to true." (join ", " $names)) -}}
{{- end -}}
{{- if and $v.weights.folder.names (not $v.weights.folder.claim) -}}
{{- $found = append $found "weights.folder.claim is missing: name the claim with the files that you have brought." -}}
{{- end -}}
{{- range $v.weights.names -}}
{{- if hasPrefix "casper-" . -}}
{{- $found = append $found (printf "%s is on no hub: bring its file, and name it in weights.folder.names instead of weights.names." .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $v.engines.enabled -}}
{{- $wanted := false -}}
{{- range $groups -}}{{- if eq .provider "tensorrt" -}}{{- $wanted = true -}}{{- end -}}{{- end -}}
{{- if not $wanted -}}
{{- $found = append $found "engines.enabled is true, but no model group has the provider tensorrt: nobody would use an engine." -}}
{{- end -}}
{{- if not $v.engines.gpus -}}
{{- $found = append $found "engines.gpus is empty: name at least one kind of GPU to build on." -}}
{{- end -}}
{{- end -}}

{{/* Watching. */}}
{{- range $name := list "checksum/config" -}}
{{- if hasKey $own.podAnnotations $name -}}
{{- $found = append $found (printf "orchestrator.podAnnotations sets %s, which is the chart's own." $name) -}}
{{- end -}}
{{- end -}}
{{- toJson (dict "found" $found) -}}
{{- end -}}
