package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"pushgateway/internal/pushoptions"
)

// Product is a kind of server that accepts pushes.
type Product uint8

const (
	Other           Product = iota // such as Vector
	Pushgateway                    // this program
	Upstream                       // the Prometheus Pushgateway
	VictoriaMetrics                // or its agent
)

func (p Product) String() string {
	return [...]string{
		Other: "another server than a Pushgateway", Pushgateway: "this Pushgateway",
		Upstream: "the Prometheus Pushgateway", VictoriaMetrics: "VictoriaMetrics",
	}[p]
}

// Server is what answers at the gateway's URL.
type Server struct {
	Product Product
	Options []string // names of the push options that it knows
}

// UnsupportedError says that a server does not know some push options.
type UnsupportedError struct {
	URL     string
	Product Product
	Options []string // those that it does not know
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("%s is %v, which does not know %s: nothing was pushed", e.URL, e.Product, strings.Join(e.Options, ", "))
}

// Server asks who answers at the gateway's URL. It asks only once: later calls return what
// the first successful one found. A server that responds, if only with an error, is known.
// It retries as Push does.
//
// This gateway lists its push options in a header of /-/healthy, which needs no rights. The
// Prometheus Pushgateway describes itself in /api/v1/status. VictoriaMetrics puts a header into
// all its responses. All else is Other.
func (c *Client) Server(ctx context.Context) (Server, error) {
	if known := c.knownServer(); known != nil {
		return *known, nil
	}
	found, err := c.probe(ctx)
	if err != nil {
		return Server{}, fmt.Errorf("find out which server answers: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.server = &found
	return found, nil
}

func (c *Client) knownServer() *Server {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.server
}

// Require returns an *UnsupportedError if the server does not know all the options, which are
// given as name or name=value, or the error of Server.
func (c *Client) Require(ctx context.Context, options ...string) error {
	server, err := c.Server(ctx)
	if err != nil {
		return err
	}
	options = append(slices.Clone(options), strings.Split(strings.TrimPrefix(c.pushPrefix, withPath), "/")...)
	var unknown []string
	for _, option := range options {
		name, _, _ := strings.Cut(option, "=")
		if name != "" && !slices.Contains(server.Options, name) && !slices.Contains(unknown, name) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		return &UnsupportedError{c.base, server.Product, unknown}
	}
	return nil
}

// probe asks who answers.
func (c *Client) probe(ctx context.Context) (Server, error) {
	healthy, err := c.do(ctx, request{method: http.MethodGet, path: "/-/healthy"})
	if err != nil && Temporary(err) {
		return Server{}, err
	}
	if options := healthy.header.Get(pushoptions.ListHeader); options != "" {
		return Server{Pushgateway, strings.Split(options, ",")}, nil
	}
	if failed, ok := errors.AsType[*Error](err); ok && failed.Status == http.StatusUnauthorized {
		return Server{}, err // behind a proxy, or by a web config file: it may be any of them
	}
	status, err := c.do(ctx, request{method: http.MethodGet, path: "/api/v1/status"})
	var described struct {
		Data struct {
			Build struct{ Version string } `json:"build_information"`
		}
	}
	if err == nil && json.Unmarshal(status.body, &described) == nil && described.Data.Build.Version != "" {
		return Server{Product: Upstream}, nil
	}
	if err != nil && Temporary(err) {
		return Server{}, err
	}
	header := status.header
	if failed, ok := errors.AsType[*Error](err); ok {
		header = failed.header
	}
	if header.Get("X-Server-Hostname") != "" {
		return Server{Product: VictoriaMetrics}, nil
	}
	return Server{Product: Other}, nil
}
