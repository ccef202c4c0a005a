package main

import (
	"fmt"
	"net/url"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	promslogflag "github.com/prometheus/common/promslog/flag"
	"github.com/prometheus/common/version"
	toolkit "github.com/prometheus/exporter-toolkit/web"
	toolkitflag "github.com/prometheus/exporter-toolkit/web/kingpinflag"

	"pushgateway/internal/httpserver"
	"pushgateway/internal/journal"
	"pushgateway/internal/limits"
	"pushgateway/internal/metric"
	"pushgateway/internal/otlp"
	"pushgateway/internal/pushoptions"
	"pushgateway/internal/store"
)

// defaultFile is where metrics are persisted unless the command line says otherwise,
// below the working directory.
const defaultFile = "data/pushgateway.db"

// persistenceFileVariable names the file if the command line does not. Packages set it, so
// that users can still give --persistence.file.
const persistenceFileVariable = "PUSHGATEWAY_PERSISTENCE_FILE"

// defaultMaxConnections is enough for thousands of jobs that push in the same minute, and
// takes about 200 MB if all are in use. Prometheus' own 512 are for a few people and servers.
const defaultMaxConnections = 8192

// options are the values of the flags.
type options struct {
	web *toolkit.FlagConfig
	log *promslog.Config

	configFile      string // the rules file; may be empty
	authFile        string // with users and their rights; may be empty
	telemetryPath   string // below the route prefix
	selfMetricsPath string // of the gateway's own metrics, below the route prefix; may be empty
	routePrefix     string // as /prefix, or empty
	externalURL     url.URL
	prometheusURL   string // may be empty
	lifecycle       bool
	adminAPI        bool
	openMetrics     bool

	persistenceFile     string // empty for memory only
	persistenceDefault  bool   // the file was not named on the command line
	persistenceSync     journal.Sync
	persistenceInterval time.Duration

	database           databaseURL // that replicas share, instead of a file; may not be set
	passwordFile       string      // of the database; may be empty
	replicaName        string
	readyNeedsDatabase bool

	unchecked bool
	utf8Names bool
	defaults  metric.Options // of pushes
	otlp      otlp.Config

	limits         limits.Limits // of pushes
	maxConcurrency int           // of pushes; 0 means no limit
	maxInflight    int64         // bytes of pushes; 0 means a share of the memory limit
	rateLimit      float64       // pushes per second of a client; 0 means no limit
	quota          store.Quota   // of the store as a whole
	maxConnections int           // 0 means no limit
	timeouts       httpserver.Timeouts
	probesFree     bool // no password for probes

	memoryLimit      bool // set GOMEMLIMIT
	memoryLimitRatio float64

	all map[string]string // every flag's value, for the status page
}

// parseFlags parses the command line. It ends the process if that asks for help or the
// version, or has a mistake.
func parseFlags(program string, args []string) options {
	app, parsed := declareFlags(program)
	kingpin.MustParse(app.Parse(args))
	return parsed()
}

// declareFlags returns the parser of the flags, and a function that returns the options once
// they are parsed. It ends the process if they contradict each other.
func declareFlags(program string) (app *kingpin.Application, parsed func() options) {
	var o options
	var externalURL *url.URL
	app = kingpin.New(program, "The Pushgateway: batch jobs push their metrics here, and Prometheus scrapes them.\n\n"+
		"Without a command it serves. Each command has its own --help.\n"+commandList())
	app.HelpFlag.Short('h')
	app.Version(version.Print("pushgateway"))

	o.web = toolkitflag.AddFlags(app, ":9091")
	app.Flag("config.file", "Rules file (YAML) that sets push options, such as expiry and summing, by group. Reloaded on SIGHUP and by /-/reload.").
		Default("").StringVar(&o.configFile)
	app.Flag("auth.file", "Auth file (YAML) of users and their rights. If empty, anyone can do everything that other flags allow. Reloaded on SIGHUP and by /-/reload.").
		Default("").StringVar(&o.authFile)
	app.Flag("web.telemetry-path", "Path under which to expose metrics.").
		Default("/metrics").StringVar(&o.telemetryPath)
	app.Flag("web.own-metrics-path", "Separate path under which to expose the Pushgateway's own metrics. If empty, they are among the pushed metrics, under --web.telemetry-path.").
		Default("").StringVar(&o.selfMetricsPath)
	app.Flag("web.external-url", "The URL under which the Pushgateway is externally reachable.").
		Default("").URLVar(&externalURL)
	app.Flag("web.route-prefix", "Prefix for the internal routes of web endpoints. Defaults to the path of --web.external-url.").
		Default("").StringVar(&o.routePrefix)
	app.Flag("web.prometheus-url", "URL of the Prometheus server that scrapes the Pushgateway. If set, the pages link to it.").
		Default("").StringVar(&o.prometheusURL)
	app.Flag("web.enable-lifecycle", "Enable shutdown, and reload of --config.file and --auth.file, via HTTP request.").
		Default("false").BoolVar(&o.lifecycle)
	app.Flag("web.enable-admin-api", "Enable API endpoints for admin control actions.").
		Default("false").BoolVar(&o.adminAPI)
	app.Flag("web.enable-openmetrics", "Expose OpenMetrics to clients that ask for it. Counters whose name does not end in _total have type unknown there.").
		Default("false").BoolVar(&o.openMetrics)
	fileNamed := false
	app.Flag("persistence.file", "File to persist metrics. If empty, metrics are only kept in memory. A file of the Prometheus Pushgateway is imported.").
		Default(defaultFile).Envar(persistenceFileVariable).IsSetByUser(&fileNamed).StringVar(&o.persistenceFile)
	sync := app.Flag("persistence.sync", "When to write pushes to disk: before answering each (push), or every --persistence.interval (interval).").
		Default(journal.SyncEachPush.String()).Enum(journal.SyncEachPush.String(), journal.SyncInterval.String())
	app.Flag("persistence.interval", "The interval at which to write out the persistence file, with --persistence.sync=interval.").
		Default("5m").DurationVar(&o.persistenceInterval)
	addReplicaFlags(app, &o)
	app.Flag("push.disable-consistency-check", "Answer pushes with 202 instead of 200. Pushes are still checked, and inconsistent ones rejected.").
		Default("false").BoolVar(&o.unchecked)
	app.Flag("push.enable-utf8-names", "Allow UTF-8 characters in metric and label names.").
		Default("false").BoolVar(&o.utf8Names)
	var ttl timeToLive
	app.Flag("push.ttl", "How long after its last successful push a group expires, such as 48h or 7d, unless the push or a rule sets a TTL. 0 means never.").
		Default("0").SetValue(&ttl)
	timestamps := app.Flag("push.timestamps", "What to do with pushes that have timestamps, unless the push or a rule says otherwise: reject the push, or drop the timestamps.").
		Default("reject").Enum("reject", "drop")
	addOTLPFlags(app, &o)
	limit := addLimitFlags(app, &o)
	app.Flag("auto-gomemlimit", "Automatically set GOMEMLIMIT to match Linux container or system memory limit.").
		Default("true").BoolVar(&o.memoryLimit)
	app.Flag("auto-gomemlimit.ratio", "The ratio of reserved GOMEMLIMIT memory to the detected maximum container or system memory.").
		Default("0.9").SetValue((*ratio)(&o.memoryLimitRatio))
	o.log = &promslog.Config{Style: promslog.GoKitStyle} // as upstream
	promslogflag.AddFlags(app, o.log)

	return app, func() options {
		for kind, max := range limit {
			o.limits = o.limits.With(kind, *max)
		}
		o.defaults.Expiry = metric.Expiry{Set: true, TTL: time.Duration(ttl)}
		if *timestamps == "drop" {
			o.defaults.Timestamps = metric.TimestampsDrop
		}
		if !o.utf8Names && !otlp.Escapes(o.otlp.Strategy) {
			app.Fatalf("--otlp.translation-strategy=%s needs --push.enable-utf8-names, since it keeps names as they are", o.otlp.Strategy)
		}
		o.persistenceDefault = !fileNamed && os.Getenv(persistenceFileVariable) == ""
		if o.database.isSet() {
			if fileNamed && o.persistenceFile != "" {
				app.Fatalf("--persistence.file and --persistence.url exclude each other")
			}
			o.persistenceFile = ""
		}
		if o.replicaName == "" {
			o.replicaName, _ = os.Hostname() // an empty name is shown as such
		}
		if *sync == journal.SyncInterval.String() {
			o.persistenceSync = journal.SyncInterval
		}
		o.externalURL = *externalURL
		if o.routePrefix == "" {
			o.routePrefix = externalURL.Path
		}
		o.routePrefix = pathPrefix(o.routePrefix)
		if o.externalURL == (url.URL{}) { // clients reach the gateway without a proxy
			o.externalURL.Path = o.routePrefix
		}
		o.telemetryPath = path.Join("/", o.telemetryPath)
		if o.selfMetricsPath != "" {
			o.selfMetricsPath = path.Join("/", o.selfMetricsPath)
		}
		o.all = flagValues(app)
		return o
	}
}

// addOTLPFlags adds the flags that say how OTLP is translated. They are named as the settings in the
// section otlp of Prometheus' configuration, but for otlp.group-by.
func addOTLPFlags(app *kingpin.Application, o *options) {
	strategies := otlp.Strategies()
	app.Flag("otlp.translation-strategy", "How names of OTLP become names of metrics and labels, as translation_strategy in Prometheus: "+strings.Join(strategies, ", ")+".").
		Default(strategies[0]).EnumVar(&o.otlp.Strategy, strategies...)
	app.Flag("otlp.group-by", "Resource attributes, separated by commas, that name the group of an OTLP push besides its job, such as service.instance.id, unless the push or a rule sets group_by.").
		Default("").SetValue((*attributes)(&o.defaults.GroupBy))
	app.Flag("otlp.promote-resource-attributes", "Resource attributes, separated by commas, that all metrics of an OTLP push get as labels.").
		Default("").SetValue((*attributes)(&o.otlp.PromoteResourceAttributes))
	app.Flag("otlp.keep-identifying-resource-attributes", "Keep service.name, service.namespace and service.instance.id as labels of target_info.").
		Default("false").BoolVar(&o.otlp.KeepIdentifyingResourceAttributes)
}

// addLimitFlags adds the flags that bound what clients may ask for. The limits of pushes are
// in the result once the command line is parsed.
func addLimitFlags(app *kingpin.Application, o *options) map[limits.Kind]*int64 {
	values := map[limits.Kind]*int64{}
	add := func(kind limits.Kind, name, byDefault, help string) {
		values[kind] = new(int64)
		app.Flag(name, help+" 0 means no limit. A rule can set another one with "+kind.String()+".").
			Default(byDefault).SetValue(&limitValue{name, kind, values[kind]})
	}
	add(limits.BodySize, "push.max-body-size", "64MiB", "Maximum size of the body of a push, decompressed.")
	add(limits.Series, "push.max-series", "0", "Maximum number of series in a push.")
	add(limits.Labels, "push.max-labels", "0", "Maximum number of labels of a series, counted with its name, as Prometheus does.")
	add(limits.LabelNameLength, "push.max-label-name-length", "0", "Maximum length of label names.")
	add(limits.LabelValueLength, "push.max-label-value-length", "0", "Maximum length of label values and metric names.")
	app.Flag("push.max-concurrency", "Maximum number of pushes that are applied at the same time. Others wait, and are answered with 503 if there are many. 0 means no limit.").
		Default("256").IntVar(&o.maxConcurrency)
	app.Flag("push.max-inflight-bytes", "Maximum memory of pushes that are read at the same time. 0 means a quarter of the memory limit.").
		Default("0").SetValue(&limitValue{"push.max-inflight-bytes", limits.BodySize, &o.maxInflight})
	app.Flag("push.rate-limit", "Maximum number of pushes per second of each client, which is a user of --auth.file or else an address. 0 means no limit.").
		Default("0").Float64Var(&o.rateLimit)
	app.Flag("storage.max-groups", "Maximum number of stored groups. 0 means no limit.").
		Default("0").SetValue(&limitValue{"storage.max-groups", limits.Groups, &o.quota.Groups})
	app.Flag("storage.max-series", "Maximum number of stored series. 0 means no limit.").
		Default("0").SetValue(&limitValue{"storage.max-series", limits.Series, &o.quota.Series})
	app.Flag("storage.max-bytes", "Maximum size of stored metrics, encoded as protobuf. 0 means no limit.").
		Default("0").SetValue(&limitValue{"storage.max-bytes", limits.BodySize, &o.quota.Bytes})
	app.Flag("web.max-connections", "Maximum number of connections per listener. When all are in use, the one that has been idle for longest is closed. 0 means no limit.").
		Default(strconv.Itoa(defaultMaxConnections)).IntVar(&o.maxConnections)
	app.Flag("web.header-timeout", "How long the header of a request may take to arrive.").
		Default(httpserver.DefaultTimeouts.Header.String()).DurationVar(&o.timeouts.Header)
	app.Flag("web.idle-timeout", "How long a connection may be idle between requests.").
		Default(httpserver.DefaultTimeouts.Idle.String()).DurationVar(&o.timeouts.Idle)
	app.Flag("web.read-timeout", "How long the body of a request may make no progress, or the client may not read the response.").
		Default(httpserver.DefaultTimeouts.Progress.String()).DurationVar(&o.timeouts.Progress)
	app.Flag("web.probes-without-auth", "Answer /-/healthy and /-/ready without the password that --web.config.file asks for.").
		Default("false").BoolVar(&o.probesFree)
	return values
}

// limitValue is the value of a flag for a number or, with limits.BodySize, for a size.
type limitValue struct {
	flag string
	kind limits.Kind
	max  *int64
}

// Set parses the value. Its errors name the flag, since those of kingpin do not.
func (v *limitValue) Set(text string) error {
	max, err := limits.Parse(v.kind, text)
	if err != nil {
		return fmt.Errorf("--%s=%s: %w", v.flag, text, err)
	}
	*v.max = max
	return nil
}

func (v *limitValue) String() string {
	if v.kind == limits.BodySize {
		return limits.FormatSize(*v.max)
	}
	return strconv.FormatInt(*v.max, 10)
}

// ratio is the value of --auto-gomemlimit.ratio.
type ratio float64

// Set parses the value. Its errors name the flag, since those of kingpin do not.
func (r *ratio) Set(text string) error {
	value, err := strconv.ParseFloat(text, 64)
	if err != nil || !(value > 0 && value <= 1) {
		return fmt.Errorf("--auto-gomemlimit.ratio=%s: the ratio must be greater than 0 and at most 1", text)
	}
	*r = ratio(value)
	return nil
}

func (r *ratio) String() string { return strconv.FormatFloat(float64(*r), 'g', -1, 64) }

// timeToLive is the value of --push.ttl.
type timeToLive time.Duration

// Set parses the value, which is written as in a push or a rule.
func (t *timeToLive) Set(text string) error {
	ttl, err := pushoptions.ParseTTL(text)
	if err != nil {
		return fmt.Errorf("--push.ttl=%s: %w", text, err)
	}
	*t = timeToLive(ttl)
	return nil
}

func (t *timeToLive) String() string { return model.Duration(*t).String() }

// attributes is the value of a flag that names attributes of OTLP.
type attributes metric.LabelNames

// Set parses the names, which are separated by commas.
func (a *attributes) Set(text string) error {
	names := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
	*a = attributes(metric.NewLabelNames(names...))
	return nil
}

func (a *attributes) String() string { return string(*a) }

// pathPrefix returns the prefix as /prefix, or empty if there is nothing but slashes.
func pathPrefix(prefix string) string {
	prefix = strings.Trim(prefix, "/")
	if prefix == "" {
		return ""
	}
	return "/" + prefix
}

// flagValues returns the values of all flags but those for help and version.
func flagValues(app *kingpin.Application) map[string]string {
	values := map[string]string{}
	builtin := kingpin.New("", "").Version("")
	for _, f := range app.Model().Flags {
		if builtin.GetFlag(f.Name) == nil {
			values[f.Name] = f.Value.String()
		}
	}
	return values
}
