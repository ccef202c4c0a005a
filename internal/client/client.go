// Package client sends pushes and other requests to a gateway. It retries what may succeed
// later, without applying a push twice, within a bounded time. It also knows what the other
// servers that accept pushes lack: the Prometheus Pushgateway, VictoriaMetrics and Vector.
package client

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Config says where a gateway is and how to talk to it.
type Config struct {
	// URL is the gateway's address with its route prefix, such as http://localhost:9091/prefix.
	// The scheme http may be left out. As with all clients, /with/ and push options may follow.
	URL string
	// Username and Password are for basic auth. If they are empty, those in the URL are used.
	Username, Password string
	// BearerToken is sent instead of a username and password if it is not empty.
	BearerToken string
	// TLS is for https; nil means the system's certificate authorities.
	TLS *tls.Config
	// Timeout bounds a call with all its attempts; 0 means no bound. An attempt gets no
	// response for half of it at most, so that there is time for another one.
	Timeout time.Duration
	// UserAgent is the value of the header User-Agent.
	UserAgent string
	// OnRetry is called before each wait for another attempt. It may be nil.
	OnRetry func(err error, wait time.Duration)
}

// Client sends requests to one gateway. It is safe for concurrent use.
type Client struct {
	config     Config
	base       string // the gateway's URL without a slash at its end
	pushPrefix string // push options of the URL as /with/…, or empty
	http       *http.Client

	mu     sync.Mutex // guards server
	server *Server    // who answers; nil until that is known
}

// New returns a client. It sends nothing. The error says what is wrong with the URL.
func New(config Config) (*Client, error) {
	text := config.URL
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the URL of the gateway: %w", errors.Unwrap(err)) // without the URL, which may have a password
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("the URL of the gateway, %s, does not begin with http:// or https://", u.Redacted())
	case u.Host == "":
		return nil, fmt.Errorf("the URL of the gateway, %s, names no host", u.Redacted())
	case u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("the URL of the gateway, %s, has a query or fragment: leave it out, or use /with/ for push options", u.Redacted())
	}
	if u.User != nil && config.Username == "" {
		config.Username = u.User.Username()
		config.Password, _ = u.User.Password()
	}
	u.User = nil
	base, options, found := strings.Cut(strings.TrimRight(u.String(), "/")+"/", withPath)
	c := &Client{config: config, base: strings.TrimRight(base, "/")}
	if options = strings.Trim(options, "/"); found && options != "" {
		c.pushPrefix = withPath + options
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = config.TLS
	c.http = &http.Client{Transport: transport, CheckRedirect: followReads}
	return c, nil
}

// withPath begins the part of a URL that has push options.
const withPath = "/with/"

// followReads follows redirects of GET. Other requests would become a GET on their way.
func followReads(next *http.Request, via []*http.Request) error {
	if via[0].Method != http.MethodGet || len(via) >= 10 {
		return http.ErrUseLastResponse
	}
	return nil
}

// URL returns the gateway's address without credentials, push options and a slash at its end.
func (c *Client) URL() string { return c.base }

// ErrNotJSON means that a request succeeded, but that the response is not one of the JSON API:
// the server is not a gateway.
var ErrNotJSON = errors.New("the response is not the JSON of a gateway")

// Call sends a request to a path of the JSON API, such as /api/v1/groups, and decodes the data
// of the response into result, unless result is nil. It retries as Push does. The error is an
// *Error if the gateway responded with one, or ErrNotJSON.
func (c *Client) Call(ctx context.Context, method, path string, query url.Values, result any) error {
	body, err := c.Text(ctx, method, path, query)
	if err != nil || result == nil {
		return err
	}
	envelope := struct{ Data any }{result}
	if err := json.Unmarshal([]byte(body), &envelope); err != nil {
		return fmt.Errorf("%s %s%s: %w: %w", method, c.base, path, ErrNotJSON, err)
	}
	return nil
}

// Text sends a request without a body to a path of the gateway and returns the body of the
// response. It retries as Push does. The error is an *Error if the gateway responded.
func (c *Client) Text(ctx context.Context, method, path string, query url.Values) (string, error) {
	answer, err := c.do(ctx, request{method: method, path: withQuery(path, query)})
	return string(answer.body), err
}

// Download sends a GET request and copies the body of the response to a writer. It returns
// how many bytes it wrote. It retries until the response begins; from then on there is no
// timeout. The error is an *Error if the gateway responded with one.
func (c *Client) Download(ctx context.Context, path string, query url.Values, to io.Writer) (int64, error) {
	answer, err := c.do(ctx, request{method: http.MethodGet, path: withQuery(path, query), to: to})
	return answer.written, err
}

func withQuery(path string, query url.Values) string {
	if len(query) == 0 {
		return path
	}
	return path + "?" + query.Encode()
}
