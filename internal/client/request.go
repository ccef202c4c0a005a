package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// A call is attempted again after minWait or, from attempt to attempt, twice as long, up to
// maxWait. The wait is shortened by a random factor, so that clients that failed together do
// not come back together.
const (
	minWait = 200 * time.Millisecond
	maxWait = 5 * time.Second
)

// maxAnswer is how much of a response is read into memory. Lists of groups are the largest.
const maxAnswer = 256 << 20

// request is a request that can be sent several times.
type request struct {
	method, path string
	header       http.Header
	body         []byte
	to           io.Writer // gets the body of the response; nil for the answer's body
}

// answer is a response to a request.
type answer struct {
	header   http.Header
	body     []byte // unless the request says where it goes to
	written  int64  // to where the request says
	attempts int
}

// do sends the request until there is a response that will not change, or until the time of
// the call is over. It returns an error unless the status is 2xx.
func (c *Client) do(ctx context.Context, r request) (answer, error) {
	var deadline time.Time
	if c.config.Timeout > 0 {
		deadline = time.Now().Add(c.config.Timeout)
		if earlier, ok := ctx.Deadline(); ok && earlier.Before(deadline) {
			deadline = earlier
		}
	}
	wait := minWait
	for attempts := 1; ; attempts++ {
		a, err := c.attempt(ctx, r, deadline)
		a.attempts = attempts
		if err == nil || ctx.Err() != nil || !Temporary(err) || a.written > 0 {
			return a, err
		}
		pause := time.Duration(float64(wait) * (0.5 + rand.Float64()/2)) // #nosec G404 -- nobody gains by guessing it
		if failed, ok := errors.AsType[*Error](err); ok && failed.RetryAfter > 0 {
			pause = failed.RetryAfter + time.Duration(rand.Float64()*float64(minWait)) // #nosec G404 -- as above
		}
		if !deadline.IsZero() && time.Until(deadline) <= pause {
			if attempts > 1 {
				err = fmt.Errorf("gave up after %d attempts: %w", attempts, err)
			}
			return a, err
		}
		if c.config.OnRetry != nil {
			c.config.OnRetry(err, pause)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return a, err
		}
		wait = min(2*wait, maxWait)
	}
}

// errTimeout says that an attempt got no response in time.
var errTimeout = errors.New("no response in time")

// attempt sends the request once. The deadline is that of the call.
func (c *Client) attempt(ctx context.Context, r request, deadline time.Time) (answer, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := new(time.Timer)
	if !deadline.IsZero() {
		timer = time.AfterFunc(min(time.Until(deadline), c.config.Timeout/2), func() { cancel(errTimeout) })
		defer timer.Stop()
	}
	fail := func(err error) (answer, error) {
		if cause := context.Cause(ctx); errors.Is(cause, context.DeadlineExceeded) {
			err = errTimeout // the caller's deadline, which may pass just before the attempt's
		} else if cause != nil {
			err = cause
		}
		return answer{}, &connectionError{r.method, c.base + r.path, err}
	}
	sent, err := http.NewRequestWithContext(ctx, r.method, c.base+r.path, bytes.NewReader(r.body))
	if err != nil {
		return answer{}, err
	}
	c.setHeader(sent, r)
	response, err := c.http.Do(sent)
	if err != nil {
		return fail(unwrapURL(err))
	}
	defer response.Body.Close()
	if response.StatusCode/100 != 2 {
		return answer{}, newError(sent, response)
	}
	a := answer{header: response.Header}
	if r.to != nil {
		if !deadline.IsZero() {
			timer.Stop()
		}
		a.written, err = io.Copy(r.to, response.Body)
		if err != nil {
			return a, fmt.Errorf("%s %s: %w", r.method, c.base+r.path, err)
		}
		return a, nil
	}
	a.body, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return fail(err)
	}
	return a, nil
}

func (c *Client) setHeader(sent *http.Request, r request) {
	for name, values := range r.header {
		sent.Header[name] = values
	}
	if c.config.UserAgent != "" {
		sent.Header.Set("User-Agent", c.config.UserAgent)
	}
	if c.config.BearerToken != "" {
		sent.Header.Set("Authorization", "Bearer "+c.config.BearerToken)
	} else if c.config.Username != "" || c.config.Password != "" {
		sent.SetBasicAuth(c.config.Username, c.config.Password)
	}
}

// Temporary reports whether a call that failed with err may succeed later: the gateway was not
// reached, did not respond, or responded that it cannot answer now.
func Temporary(err error) bool {
	if failed, ok := errors.AsType[*Error](err); ok {
		return failed.Temporary()
	}
	if _, ok := errors.AsType[*connectionError](err); !ok {
		return false
	}
	_, wrongCertificate := errors.AsType[*tls.CertificateVerificationError](err)
	return !wrongCertificate && !errors.Is(err, context.Canceled)
}

// retryAfter returns the wait that a response asks for, or 0.
func retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil && seconds > 0 {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(time.Until(at), 0)
	}
	return 0
}
