{{- /* Basic auth and TLS: the file /etc/config/web-config.yaml. */ -}}

{{- /* The Secret with the file; nothing if there is none. */ -}}
{{- define "prometheus-pushgateway.webConfigurationSecretName" -}}
{{- if .Values.webConfiguration.existingSecret.name -}}
  {{- .Values.webConfiguration.existingSecret.name -}}
{{- else if .Values.webConfiguration.basicAuthUsers -}}
  {{- include "prometheus-pushgateway.fullname" . -}}
{{- end -}}
{{- end -}}

{{- /* Whether a password is a bcrypt hash already, as "true" or "". */ -}}
{{- define "prometheus-pushgateway.isHash" -}}
{{- regexMatch `^\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}$` . | ternary "true" "" -}}
{{- end -}}

{{- /* What tells whether users or passwords changed. As slow to reverse as a bcrypt hash (scrypt). */ -}}
{{- define "prometheus-pushgateway.fingerprint" -}}
{{- $site := print (include "prometheus-pushgateway.namespace" .) "/" (include "prometheus-pushgateway.fullname" .) -}}
{{- $all := list -}}
{{- range $user, $password := .Values.webConfiguration.basicAuthUsers -}}
  {{- $all = append $all (list $user (derivePassword 1 "maximum" (toString $password) $user $site)) -}}
{{- end -}}
{{- $all | toJson | sha256sum -}}
{{- end -}}

{{- define "prometheus-pushgateway.webConfiguration" -}}
{{- $hashes := dict -}}
{{- range $user, $password := .Values.webConfiguration.basicAuthUsers -}}
  {{- $hash := toString $password -}}
  {{- if not (include "prometheus-pushgateway.isHash" $hash) -}}
    {{- $hash = htpasswd $user $hash | trimPrefix (print $user ":") -}}
  {{- end -}}
  {{- $_ := set $hashes $user $hash -}}
{{- end -}}
{{- dict "basic_auth_users" $hashes | toYaml -}}
{{- end -}}
