package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// schemas are the migrations: N.sql leads from version N-1 of the tables to version N.
// Replicas of the release before must be able to work on with the tables that the new
// release makes.
//
//go:embed schema/*.sql
var schemas embed.FS

// schemaVersion is the version of the tables that this program uses.
const schemaVersion = 1

// migrationLock is the advisory lock of whoever migrates: "pushgate" in ASCII.
const migrationLock = 0x7075736867617465

// NewerError says that the tables are of a version that this program does not know.
type NewerError struct{ Version int }

func (e *NewerError) Error() string {
	return fmt.Sprintf("the tables in the database have version %d, but this program knows only version %d: "+
		"use the release that made them, or a newer one", e.Version, schemaVersion)
}

// migrate makes the tables, or brings them to schemaVersion. Any number of replicas may
// do that at the same time. It needs the right to create tables only if there is
// something to do.
func migrate(ctx context.Context, c *pgx.Conn) (migrated bool, err error) {
	version, err := readVersion(ctx, c)
	switch {
	case err != nil:
		return false, err
	case version > schemaVersion:
		return false, &NewerError{version}
	case version == schemaVersion:
		return false, nil
	}
	err = pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(migrationLock)); err != nil {
			return err
		}
		version, err := readVersion(ctx, tx)
		if err != nil || version >= schemaVersion { // another replica has been here
			return err
		}
		migrated = true
		return upgrade(ctx, tx, version)
	})
	if err != nil {
		return false, fmt.Errorf("make the tables: %w", err)
	}
	return migrated, nil
}

// readVersion returns the version of the tables, 0 if there are none.
func readVersion(ctx context.Context, c interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
},
) (version int, err error) {
	exists := false
	err = c.QueryRow(ctx, "SELECT to_regclass('pushgateway_schema') IS NOT NULL").Scan(&exists)
	if err != nil || !exists {
		return 0, err
	}
	err = c.QueryRow(ctx, "SELECT version FROM pushgateway_schema").Scan(&version)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, errors.New("the table pushgateway_schema is empty")
	}
	return version, err
}

// upgrade brings the tables from the version to schemaVersion.
func upgrade(ctx context.Context, tx pgx.Tx, version int) error {
	if version == 0 {
		if _, err := tx.Exec(ctx, "CREATE TABLE pushgateway_schema (version int NOT NULL)"); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "INSERT INTO pushgateway_schema VALUES (0)"); err != nil {
			return err
		}
	}
	for v := version + 1; v <= schemaVersion; v++ {
		statements, err := schemas.ReadFile(fmt.Sprintf("schema/%d.sql", v))
		if err != nil {
			return err
		}
		if _, err := tx.Conn().PgConn().Exec(ctx, string(statements)).ReadAll(); err != nil {
			return fmt.Errorf("version %d: %w", v, err)
		}
	}
	if version == 0 {
		first := newToken()
		_, err := tx.Exec(ctx, "INSERT INTO pushgateway_head (sequence, token, wiped, pruned, timeline) VALUES (0, $1, 0, 0, 0)", first)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "INSERT INTO pushgateway_commits VALUES (0, $1)", first); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, "UPDATE pushgateway_schema SET version = $1", schemaVersion)
	return err
}
