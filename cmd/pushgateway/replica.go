package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"sync/atomic"

	"github.com/alecthomas/kingpin/v2"

	"pushgateway/internal/journal/postgres"
)

// addReplicaFlags adds the flags of replicas, which share a database.
func addReplicaFlags(app *kingpin.Application, o *options) {
	app.Flag("persistence.url", "Database that replicas share to persist metrics, instead of --persistence.file, as "+
		"postgres://user@host1,host2/database. The password comes from --persistence.password-file, PGPASSWORD or PGPASSFILE.").
		Default("").SetValue(&o.database)
	app.Flag("persistence.password-file", "File with the password of the database of --persistence.url. It is read at each connection.").
		Default("").StringVar(&o.passwordFile)
	app.Flag("persistence.replica-name", "Name of this replica on the status page and in metrics. Defaults to the host's name.").
		Default("").StringVar(&o.replicaName)
	app.Flag("web.ready-needs-database", "Answer /-/ready with 503 while the database of --persistence.url is away. Scrapes go on meanwhile.").
		Default("false").BoolVar(&o.readyNeedsDatabase)
}

// databaseURL is the value of --persistence.url.
type databaseURL struct{ postgres.Address }

// Set parses the value. Its errors name the flag, since those of kingpin do not, but not
// the value, which may have a password.
func (u *databaseURL) Set(text string) (err error) {
	if text == "" {
		*u = databaseURL{}
		return nil
	}
	if u.Address, err = postgres.ParseAddress(text); err != nil {
		return fmt.Errorf("--persistence.url: %w", err)
	}
	return nil
}

// isSet reports whether the flag names a database.
func (u *databaseURL) isSet() bool { return u.String() != "" }

// hideIn replaces the value in the command line, which /debug/pprof/cmdline shows, by one
// without password.
func (u *databaseURL) hideIn(args []string) {
	const flag = "--persistence.url"
	for i, arg := range args {
		if strings.HasPrefix(arg, flag+"=") {
			args[i] = flag + "=" + u.String()
		} else if i > 0 && args[i-1] == flag {
			args[i] = u.String()
		}
	}
}

// sharedName returns this replica's name, empty if no database is shared.
func (o *options) sharedName() string {
	if !o.database.isSet() {
		return ""
	}
	return o.replicaName
}

// configHashes are hashes of the files in use, by which replicas notice that theirs differ.
type configHashes struct{ rules, auth atomic.Pointer[string] }

func (h *configHashes) get() (rules, auth string) {
	text := func(p *string) string {
		if p == nil {
			return ""
		}
		return *p
	}
	return text(h.rules.Load()), text(h.auth.Load())
}

// hashed returns what loads the file, and notes the file's hash each time.
func hashed[T any](load func(file string) (T, error), file string, hash *atomic.Pointer[string]) func() (T, error) {
	return func() (T, error) {
		loaded, err := load(file)
		if err != nil {
			return loaded, err
		}
		content, err := os.ReadFile(file)
		if err == nil {
			sum := sha256.Sum256(content)
			text := hex.EncodeToString(sum[:8])
			hash.Store(&text)
		}
		return loaded, err
	}
}
