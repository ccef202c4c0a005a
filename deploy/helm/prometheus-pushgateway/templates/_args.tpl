{{- /* Arguments of the gateway: extraArgs, and those that follow from other values. */ -}}

{{- /* Whether extraArgs set a flag, as "true" or "": list of the root and of the flag's name. */ -}}
{{- define "prometheus-pushgateway.hasFlag" -}}
{{- $name := index . 1 -}}
{{- range (index . 0).Values.extraArgs -}}
  {{- $flag := toString . | splitList "=" | first -}}
  {{- if or (eq $flag (print "--" $name)) (eq $flag (print "--no-" $name)) }}true{{ break }}{{ end -}}
{{- end -}}
{{- end -}}

{{- /* The value that extraArgs give to a flag, as --name=value or in two arguments: list of the root and of the flag's name. */ -}}
{{- define "prometheus-pushgateway.flag" -}}
{{- $flag := print "--" (index . 1) -}}
{{- $next := false -}}
{{- range (index . 0).Values.extraArgs -}}
  {{- $arg := toString . -}}
  {{- if $next }}{{ $arg }}{{ break }}{{ end -}}
  {{- if hasPrefix (print $flag "=") $arg }}{{ trimPrefix (print $flag "=") $arg }}{{ break }}{{ end -}}
  {{- $next = eq $arg $flag -}}
{{- end -}}
{{- end -}}

{{- /* The prefix of all paths, as the gateway derives it from its flags: /prefix, or nothing. */ -}}
{{- define "prometheus-pushgateway.routePrefix" -}}
{{- $prefix := include "prometheus-pushgateway.flag" (list . "web.route-prefix") -}}
{{- if not $prefix -}}
  {{- $prefix = (include "prometheus-pushgateway.flag" (list . "web.external-url") | urlParse).path -}}
{{- end -}}
{{- with trimAll "/" $prefix }}/{{ . }}{{ end -}}
{{- end -}}

{{- /* A path with the prefix, which it may have already: list of the root and of the path. */ -}}
{{- define "prometheus-pushgateway.prefixed" -}}
{{- $prefix := include "prometheus-pushgateway.routePrefix" (index . 0) -}}
{{- $path := index . 1 -}}
{{- hasPrefix (print $prefix "/") $path | ternary "" $prefix }}{{ $path -}}
{{- end -}}

{{- /* The path of the gateway's own metrics, without the prefix; nothing if they are among the pushed ones. */ -}}
{{- define "prometheus-pushgateway.ownMetricsPath" -}}
{{- $path := include "prometheus-pushgateway.flag" (list . "web.own-metrics-path") -}}
{{- if and (not $path) .Values.persistence.url .Values.serviceMonitor.enabled -}}
  {{- $path = "/own-metrics" -}}
{{- end -}}
{{- $path -}}
{{- end -}}

{{- define "prometheus-pushgateway.args" -}}
{{- $args := list -}}
{{- if .Values.persistence.url -}}
  {{- $args = append $args (list "persistence.url" .Values.persistence.url) -}}
{{- else if not (include "prometheus-pushgateway.hasFlag" (list . "persistence.url")) -}}
  {{- $args = append $args (list "persistence.file" (print (trimSuffix "/" .Values.persistentVolume.mountPath) "/pushgateway.db")) -}}
{{- end -}}
{{- if include "prometheus-pushgateway.webConfigurationSecretName" . -}}
  {{- $args = append $args (list "web.config.file" "/etc/config/web-config.yaml") -}}
{{- end -}}
{{- if or (include "prometheus-pushgateway.webConfigurationSecretName" .) (include "prometheus-pushgateway.hasFlag" (list . "web.config.file")) -}}
  {{- $args = append $args (list "web.probes-without-auth") -}}
{{- end -}}
{{- if or .Values.rules.config .Values.rules.existingConfigMap.name -}}
  {{- $args = append $args (list "config.file" (print "/etc/pushgateway/rules/" .Values.rules.existingConfigMap.key)) -}}
{{- end -}}
{{- if or .Values.auth.config .Values.auth.existingSecret.name -}}
  {{- $args = append $args (list "auth.file" (print "/etc/pushgateway/auth/" .Values.auth.existingSecret.key)) -}}
{{- end -}}
{{- with include "prometheus-pushgateway.ownMetricsPath" . -}}
  {{- $args = append $args (list "web.own-metrics-path" .) -}}
{{- end -}}
{{- $all := .Values.extraArgs | default list -}}
{{- range $args -}}
  {{- if not (include "prometheus-pushgateway.hasFlag" (list $ (first .))) -}}
    {{- $all = append $all (print "--" (join "=" .)) -}}
  {{- end -}}
{{- end -}}
{{- toYaml $all -}}
{{- end -}}
