{{- /* Names and labels. Those of the community chart have the same names here, as extraManifests may use them. */ -}}

{{- define "prometheus-pushgateway.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "prometheus-pushgateway.fullname" -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- $full := .Values.fullnameOverride -}}
{{- if not $full -}}
  {{- $full = contains $name .Release.Name | ternary .Release.Name (print .Release.Name "-" $name) -}}
{{- end -}}
{{- $full | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "prometheus-pushgateway.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace -}}
{{- end -}}

{{- define "prometheus-pushgateway.chart" -}}
{{- print .Chart.Name "-" .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "prometheus-pushgateway.serviceAccountName" -}}
{{- $default := .Values.serviceAccount.create | ternary (include "prometheus-pushgateway.fullname" .) "default" -}}
{{- .Values.serviceAccount.name | default $default -}}
{{- end -}}

{{- define "prometheus-pushgateway.image" -}}
{{- with .Values.global.imageRegistry | default .Values.image.registry }}{{ . }}/{{ end -}}
{{- .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion -}}
{{- end -}}

{{- define "prometheus-pushgateway.selectorLabels" -}}
app.kubernetes.io/name: {{ include "prometheus-pushgateway.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- /* The labels of every object. Those of the selector cannot be overridden. */ -}}
{{- define "prometheus-pushgateway.defaultLabels" -}}
{{- include "prometheus-pushgateway.labelsWith" (list . dict) -}}
{{- end -}}

{{- /* The labels of an object that has more of them: list of the root and of these. */ -}}
{{- define "prometheus-pushgateway.labelsWith" -}}
{{- $root := index . 0 -}}
{{- $labels := dict
  "helm.sh/chart" (include "prometheus-pushgateway.chart" $root)
  "app.kubernetes.io/version" $root.Chart.AppVersion
  "app.kubernetes.io/managed-by" $root.Release.Service -}}
{{- $fixed := include "prometheus-pushgateway.selectorLabels" $root | fromYaml -}}
{{- mergeOverwrite $labels ($root.Values.podLabels | default dict) (index . 1 | default dict) $fixed | toYaml -}}
{{- end -}}

{{- /* Name, namespace and labels of an object that other charts may select: list of the root, of
     what is appended to the full name, and of the values with namespace and more labels. */ -}}
{{- define "prometheus-pushgateway.metadata" -}}
{{- $root := index . 0 -}}
{{- $values := index . 2 -}}
name: {{ include "prometheus-pushgateway.fullname" $root }}{{ index . 1 }}
namespace: {{ $values.namespace | default (include "prometheus-pushgateway.namespace" $root) }}
labels:
  {{- include "prometheus-pushgateway.labelsWith" (list $root $values.labels) | nindent 2 }}
{{- with $values.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
