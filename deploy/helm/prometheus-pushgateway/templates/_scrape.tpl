{{- /* What ServiceMonitor and ScrapeConfig have in common, which is the way to the exposition. */ -}}

{{- /* The ServiceMonitor's namespace. */ -}}
{{- define "prometheus-pushgateway.monitorNamespace" -}}
{{- .Values.serviceMonitor.namespace | default (include "prometheus-pushgateway.namespace" .) -}}
{{- end -}}

{{- /* The Secret for the scrape that is made from the first user, as "true" or "". */ -}}
{{- define "prometheus-pushgateway.ownScrapeSecret" -}}
{{- with .Values.serviceMonitor -}}
{{- if and .enabled $.Values.webConfiguration.basicAuthUsers (not (or .basicAuth .authorization .bearerTokenFile)) }}true{{ end -}}
{{- end -}}
{{- end -}}

{{- define "prometheus-pushgateway.scrapeAuth" -}}
{{- $basicAuth := .Values.serviceMonitor.basicAuth -}}
{{- $secret := "" -}}
{{- if include "prometheus-pushgateway.ownScrapeSecret" . -}}
  {{- $secret = print (include "prometheus-pushgateway.fullname" .) "-basic-auth" -}}
{{- else if $basicAuth.existingSecret -}}
  {{- $secret = $basicAuth.existingSecret -}}
{{- end -}}
{{- if $secret -}}
basicAuth:
  username:
    name: {{ $secret }}
    key: user
  password:
    name: {{ $secret }}
    key: password
{{- else if $basicAuth -}}
basicAuth:
  {{- toYaml $basicAuth | nindent 2 }}
{{- end }}
{{- with .Values.serviceMonitor.authorization }}
authorization:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.serviceMonitor.tlsConfig }}
tlsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
