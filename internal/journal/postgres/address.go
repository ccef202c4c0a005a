package postgres

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Address says where a database is and how to connect to it.
type Address struct {
	config *pgx.ConnConfig
	shown  string
}

// ParseAddress parses a URL postgres://user@host1,host2/database?option=value as libpq
// knows it. What the URL leaves open comes from the environment, such as PGPASSWORD and
// PGPASSFILE. Its errors do not contain the URL, which may have a password.
func ParseAddress(text string) (Address, error) {
	if !strings.HasPrefix(text, "postgres://") && !strings.HasPrefix(text, "postgresql://") {
		return Address{}, errors.New("the URL must begin with postgres://")
	}
	config, err := pgx.ParseConfig(text)
	if err != nil {
		// The error quotes the URL, less what looks like a password, before the cause.
		cause := errors.Unwrap(err)
		if _, ok := errors.AsType[*url.Error](err); ok || cause == nil {
			return Address{}, errors.New("the URL is malformed: it must be as postgres://user@host1,host2/database?option=value")
		}
		return Address{}, fmt.Errorf("the URL cannot be used: %w", cause)
	}
	if mode := config.DefaultQueryExecMode; mode == pgx.QueryExecModeExec || mode == pgx.QueryExecModeSimpleProtocol {
		return Address{}, fmt.Errorf("default_query_exec_mode=%s does not work: behind a pooler use cache_describe", mode)
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	// Standbys are never read: they may lack the last commits.
	config.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "pushgateway"
	}
	return Address{config, shownAddress(config)}, nil
}

// pooled reports whether a pooler may run each transaction in another session. Then LISTEN is of
// no use, and harms whoever gets the session next.
func (a Address) pooled() bool {
	return a.config.DefaultQueryExecMode == pgx.QueryExecModeCacheDescribe
}

// String returns the URL without password and options.
func (a Address) String() string { return a.shown }

func shownAddress(c *pgx.ConnConfig) string {
	hosts := []string{hostPort(c.Host, c.Port)}
	for _, f := range c.Fallbacks { // each host twice, if TLS is tried first
		if h := hostPort(f.Host, f.Port); !slices.Contains(hosts, h) {
			hosts = append(hosts, h)
		}
	}
	return "postgres://" + url.User(c.User).String() + "@" + strings.Join(hosts, ",") + "/" + url.PathEscape(c.Database)
}

func hostPort(host string, port uint16) string {
	if strings.HasPrefix(host, "/") {
		return url.PathEscape(host)
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}
