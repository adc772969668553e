{{- define "intent.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "intent.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "intent.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "intent.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "intent.selector" -}}
app.kubernetes.io/name: {{ include "intent.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "intent.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "intent.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "intent.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "intent.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "intent.fullname" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end -}}

{{- define "intent.claim" -}}
{{ .Values.persistence.existingClaim | default (include "intent.fullname" .) }}
{{- end -}}

{{/* Values that would lose events or leave the service open are refused, with the remedy. */}}
{{- define "intent.check" -}}
{{- if not .Values.keys.existingSecret -}}
{{- fail "keys.existingSecret is empty: without keys the service answers its own pod alone. Make keys.json with `intent-tracking keys create`, put it into a secret and name that here." -}}
{{- end -}}
{{- $most := ternary (int .Values.autoscaling.maxReplicas) (int .Values.replicaCount) .Values.autoscaling.enabled -}}
{{- if gt $most 1 -}}
{{- if not .Values.sessionStore.existingSecret -}}
{{- fail "more than one replica needs sessionStore.existingSecret (Redis): with SQLite each replica would know its own part of a session." -}}
{{- end -}}
{{- if not .Values.eventLog.existingSecret -}}
{{- fail "more than one replica needs eventLog.existingSecret (Kafka): the files of one event log have one writer." -}}
{{- end -}}
{{- if not (and .Values.persistence.enabled (has "ReadWriteMany" .Values.persistence.accessModes)) -}}
{{- fail "more than one replica needs persistence.enabled with persistence.accessModes [ReadWriteMany]: an erasure is a file of the home, and has to reach every replica and outlive the pod that took it." -}}
{{- end -}}
{{- end -}}
{{- $least := add 25 (get .Values.settings "INTENT_REQUEST_SECONDS" | default 20 | float64 | ceil | int) -}}
{{- if lt (int .Values.terminationGracePeriodSeconds) (int $least) -}}
{{- fail (printf "terminationGracePeriodSeconds has to be %d or more: 5 s before the stop, INTENT_REQUEST_SECONDS for the last requests and 20 s to write what is held." $least) -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.trustedProxies) -}}
{{- fail "ingress.enabled needs trustedProxies, the addresses or networks of the ingress controller's pods: else all shoppers share its address, and a public key's 5 requests a second." -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) -}}
{{- fail "autoscaling.minReplicas is larger than autoscaling.maxReplicas." -}}
{{- end -}}
{{- end -}}
