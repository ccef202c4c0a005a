{{- /* The pods of the Deployment or StatefulSet. */ -}}

{{- /* A probe with the route prefix: list of the root and of the probe. */ -}}
{{- define "prometheus-pushgateway.probe" -}}
{{- $probe := index . 1 | deepCopy -}}
{{- with $probe.httpGet -}}
  {{- $_ := set . "path" (include "prometheus-pushgateway.prefixed" (list (index $ 0) (.path | default "/"))) -}}
{{- end -}}
{{- toYaml $probe -}}
{{- end -}}

{{- /* The affinity of the pods. What is set in .Values.affinity comes before podAntiAffinity. */ -}}
{{- define "prometheus-pushgateway.affinity" -}}
{{- $affinity := .Values.affinity | default dict | deepCopy -}}
{{- $term := dict
  "topologyKey" .Values.podAntiAffinityTopologyKey
  "labelSelector" (dict "matchLabels" (include "prometheus-pushgateway.selectorLabels" . | fromYaml)) -}}
{{- if eq (toString .Values.podAntiAffinity) "hard" -}}
  {{- $affinity = merge $affinity (dict "podAntiAffinity" (dict "requiredDuringSchedulingIgnoredDuringExecution" (list $term))) -}}
{{- else if eq (toString .Values.podAntiAffinity) "soft" -}}
  {{- $weighted := dict "weight" 100 "podAffinityTerm" $term -}}
  {{- $affinity = merge $affinity (dict "podAntiAffinity" (dict "preferredDuringSchedulingIgnoredDuringExecution" (list $weighted))) -}}
{{- end -}}
{{- with $affinity }}{{ toYaml . }}{{ end -}}
{{- end -}}

{{- /* The annotations of the pods. A changed rules or auth file restarts them. */ -}}
{{- define "prometheus-pushgateway.podAnnotations" -}}
{{- $annotations := .Values.podAnnotations | default dict | deepCopy -}}
{{- with .Values.rules.config -}}
  {{- $_ := set $annotations "checksum/rules" (toJson . | sha256sum) -}}
{{- end -}}
{{- with .Values.auth.config -}}
  {{- $_ := set $annotations "checksum/auth" (toJson . | sha256sum) -}}
{{- end -}}
{{- with $annotations }}{{ toYaml . }}{{ end -}}
{{- end -}}

{{- define "prometheus-pushgateway.podTemplate" -}}
metadata:
  labels:
    {{- include "prometheus-pushgateway.defaultLabels" . | nindent 4 }}
  {{- with include "prometheus-pushgateway.podAnnotations" . }}
  annotations:
    {{- . | nindent 4 }}
  {{- end }}
spec:
  {{- include "prometheus-pushgateway.podSpec" . | nindent 2 }}
{{- end -}}

{{- define "prometheus-pushgateway.podSpec" -}}
serviceAccountName: {{ include "prometheus-pushgateway.serviceAccountName" . }}
automountServiceAccountToken: {{ .Values.automountServiceAccountToken }}
{{- with .Values.global.imagePullSecrets | default .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ quote . }}
{{- end }}
{{- with .Values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "prometheus-pushgateway.affinity" . }}
affinity:
  {{- . | nindent 2 }}
{{- end }}
{{- with .Values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.extraInitContainers }}
initContainers:
  {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - {{ include "prometheus-pushgateway.container" . | nindent 4 | trim }}
  {{- with .Values.extraContainers }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with include "prometheus-pushgateway.volumes" . }}
volumes:
  {{- . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "prometheus-pushgateway.container" -}}
name: pushgateway
image: {{ include "prometheus-pushgateway.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args:
  {{- include "prometheus-pushgateway.args" . | nindent 2 }}
{{- if or .Values.extraVars .Values.persistence.passwordSecret.name }}
env:
  {{- with .Values.persistence.passwordSecret }}
  {{- if .name }}
  - name: PGPASSWORD
    valueFrom:
      secretKeyRef:
        name: {{ .name }}
        key: {{ .key }}
  {{- end }}
  {{- end }}
  {{- with .Values.extraVars }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
ports:
  - name: metrics
    containerPort: 9091
    protocol: TCP
{{- with .Values.liveness }}
{{- if .enabled }}
livenessProbe:
  {{- include "prometheus-pushgateway.probe" (list $ .probe) | nindent 2 }}
{{- end }}
{{- end }}
{{- with .Values.readiness }}
{{- if .enabled }}
readinessProbe:
  {{- include "prometheus-pushgateway.probe" (list $ .probe) | nindent 2 }}
{{- end }}
{{- end }}
{{- with .Values.lifecycle }}
lifecycle:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.containerSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - name: storage-volume
    mountPath: {{ .Values.persistentVolume.mountPath | quote }}
    {{- with .Values.persistentVolume.subPath }}
    subPath: {{ quote . }}
    {{- end }}
  {{- if include "prometheus-pushgateway.webConfigurationSecretName" . }}
  - name: web-config
    mountPath: /etc/config
    readOnly: true
  {{- end }}
  {{- if or .Values.rules.config .Values.rules.existingConfigMap.name }}
  - name: rules
    mountPath: /etc/pushgateway/rules
    readOnly: true
  {{- end }}
  {{- if or .Values.auth.config .Values.auth.existingSecret.name }}
  - name: auth
    mountPath: /etc/pushgateway/auth
    readOnly: true
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "prometheus-pushgateway.volumes" -}}
{{- if not .Values.persistentVolume.enabled }}
- name: storage-volume
  emptyDir:
    {{- toYaml .Values.persistentVolume.emptyDir | nindent 4 }}
{{- else if not .Values.runAsStatefulSet }}
- name: storage-volume
  persistentVolumeClaim:
    claimName: {{ .Values.persistentVolume.existingClaim | default (include "prometheus-pushgateway.fullname" .) }}
{{- end }}
{{- with include "prometheus-pushgateway.webConfigurationSecretName" . }}
- name: web-config
  secret:
    secretName: {{ . }}
{{- end }}
{{- if or .Values.rules.config .Values.rules.existingConfigMap.name }}
- name: rules
  configMap:
    name: {{ .Values.rules.existingConfigMap.name | default (print (include "prometheus-pushgateway.fullname" .) "-rules") }}
{{- end }}
{{- if or .Values.auth.config .Values.auth.existingSecret.name }}
- name: auth
  secret:
    secretName: {{ .Values.auth.existingSecret.name | default (print (include "prometheus-pushgateway.fullname" .) "-auth") }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
