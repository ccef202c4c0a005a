package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
)

// transport carries pushes over one kept connection.
type transport interface {
	// put replaces a group and returns the status once the answer is read.
	put(group int, body []byte) (status int, err error)
	close()
}

// transportKind chooses what pushes are measured through.
type transportKind int

const (
	// throughClient is net/http's client, as client_golang/push uses it: what a
	// Go program that pushes sees.
	throughClient transportKind = iota
	// throughRaw writes prepared bytes to the connection. It takes a fraction of
	// the client's processor time, so it shows the servers alone.
	throughRaw
)

func (k transportKind) String() string {
	if k == throughRaw {
		return "prepared bytes on raw connections"
	}
	return "net/http's client, as client_golang/push uses it"
}

func (k transportKind) connect(addr string) (transport, error) {
	if k == throughRaw {
		c, err := dial(addr)
		return &rawTransport{client: c}, err
	}
	pool := &http.Transport{MaxConnsPerHost: 1, DisableCompression: true}
	return &clientTransport{pool, &http.Client{Transport: pool}, "http://" + addr}, nil
}

type rawTransport struct {
	*client
	buf []byte
}

func (t *rawTransport) put(group int, body []byte) (int, error) {
	t.buf = appendPush(t.buf[:0], group, body)
	a, err := t.exchange(t.buf, nil)
	return a.status, err
}

type clientTransport struct {
	pool   *http.Transport
	client *http.Client
	base   string
}

func (t *clientTransport) put(group int, body []byte) (int, error) {
	url := string(appendPath([]byte(t.base), group))
	r, err := http.NewRequest(http.MethodPut, url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "text/plain; version=0.0.4")
	answer, err := t.client.Do(r)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return 0, fmt.Errorf("read the answer: %w", err)
	}
	return answer.StatusCode, nil
}

func (t *clientTransport) close() { t.pool.CloseIdleConnections() }
