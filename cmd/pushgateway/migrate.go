package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/version"

	"pushgateway/internal/journal"
	"pushgateway/internal/journal/postgres"
	"pushgateway/internal/store"
)

const migrateHelp = `Copy all groups from a persistence file to a database, or back.

Stop the gateways that use either first. The target must be empty, or a file that does not exist. The source stays as it is.

Examples:

  pushgateway migrate --from=data/pushgateway.db --to=postgres://pushgateway@db1,db2/pushgateway
  pushgateway migrate --from=postgres://pushgateway@db1,db2/pushgateway --to=copy.db
`

func migrateCommand() command {
	return command{"migrate", migrateHelp, func(app *kingpin.Application) action {
		from := app.Flag("from", "Persistence file, or URL of a database as of --persistence.url.").Required().String()
		to := app.Flag("to", "Database or file to copy the groups to.").Required().String()
		password := app.Flag("password-file", "File with the password of the database, unless PGPASSWORD or PGPASSFILE has it.").String()
		return func(call *invocation) error {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			groups, err := readStored(ctx, *from, *password)
			if err != nil {
				return err
			}
			if err := writeStored(ctx, *to, *password, groups); err != nil {
				return err
			}
			_, err = fmt.Fprintf(call.out, "%d groups copied\n", len(groups))
			return err
		}
	}}
}

// isDatabase reports whether the text is the URL of a database rather than the name of a
// file.
func isDatabase(text string) bool { return strings.Contains(text, "://") }

// openDatabase returns the journal of a database, loaded, and the groups in it.
func openDatabase(ctx context.Context, url, passwordFile string) (*postgres.Journal, []*store.Group, error) {
	address, err := postgres.ParseAddress(url)
	if err != nil {
		return nil, nil, err
	}
	database := postgres.New(postgres.Options{Address: address, PasswordFile: passwordFile, Name: "migrate", Version: version.Version})
	var groups []*store.Group
	groups, err = database.Load(ctx, func() iter.Seq[*store.Group] { return slices.Values(groups) })
	return database, groups, err
}

// readStored returns the groups in a file or a database.
func readStored(ctx context.Context, from, passwordFile string) ([]*store.Group, error) {
	if !isDatabase(from) {
		found, err := journal.Inspect(from)
		return found.Groups, err
	}
	database, groups, err := openDatabase(ctx, from, passwordFile)
	if err != nil {
		return nil, err
	}
	return groups, database.Close(ctx)
}

// writeStored writes the groups to a new file or an empty database.
func writeStored(ctx context.Context, to, passwordFile string, groups []*store.Group) error {
	if !isDatabase(to) {
		return writeStoredFile(to, groups)
	}
	database, existing, err := openDatabase(ctx, to, passwordFile)
	if err != nil {
		return err
	}
	if len(existing) > 0 {
		err = fmt.Errorf("the database has %d groups already: delete them first, or use another database", len(existing))
	} else {
		err = commitAll(ctx, database, groups)
	}
	return errors.Join(err, database.Close(ctx))
}

func commitAll(ctx context.Context, database *postgres.Journal, groups []*store.Group) error {
	if _, err := database.Begin(ctx); err != nil {
		return err
	}
	var changes store.Changes
	for _, g := range groups {
		changes.Groups = append(changes.Groups, store.Change{ID: g.Key.ID(), Group: g})
	}
	return database.Commit(changes)
}

// writeStoredFile writes a persistence file that must not exist yet.
func writeStoredFile(path string, groups []*store.Group) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = journal.Copy(slices.Values(groups), func(_ int64, content io.Reader) error {
		_, err := io.Copy(f, content)
		return err
	})
	return errors.Join(err, f.Sync(), f.Close())
}
