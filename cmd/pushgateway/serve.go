package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/mdlayher/vsock"
	toolkit "github.com/prometheus/exporter-toolkit/web"
	"golang.org/x/sync/errgroup"

	"pushgateway/internal/httpserver"
	"pushgateway/internal/limits"
	"pushgateway/internal/store"
)

// Stopping takes at most maxDrain and then maxClose.
const (
	maxDrain = 8 * time.Second  // for requests in flight
	maxClose = 10 * time.Second // for the journal
)

// serve serves until ctx ends, then lets requests in flight finish.
func serve(ctx context.Context, o options, handler http.Handler, logger *slog.Logger) error {
	listeners, err := listen(o.web, logger)
	if err != nil {
		return err
	}
	maxConnections := fitConnections(o.maxConnections, len(listeners), maxDescriptors(), logger)
	// Each listener has a server of its own, since the toolkit wraps the handler of a server
	// in its own for each listener.
	servers := make([]*http.Server, len(listeners))
	failed := make(chan error, len(listeners))
	for i, listener := range listeners {
		server := httpserver.New(handler, o.timeouts, logger)
		if *o.web.WebConfigFile == "" {
			server.Protocols = withoutTLS()
		}
		connections := limits.NewConnections(maxConnections)
		server.ConnState = connections.Track
		if o.probesFree {
			freeProbes(server, handler, o.routePrefix)
		}
		servers[i] = server
		go func() { failed <- toolkit.Serve(connections.Listener(listener), server, o.web, logger) }()
	}
	go reportToSystemd(ctx, logger)
	select {
	case err := <-failed:
		closeAll(servers)
		return fmt.Errorf("serve HTTP: %w", err)
	case <-ctx.Done():
	}
	logger.Info("stopping: waiting for requests in flight", "at_most", maxDrain)
	drain, cancel := context.WithTimeout(context.Background(), maxDrain)
	defer cancel()
	var shutdown errgroup.Group
	for _, server := range servers {
		shutdown.Go(func() error { return server.Shutdown(drain) })
	}
	if err := shutdown.Wait(); err != nil {
		closeAll(servers)
		return fmt.Errorf("finish the requests in flight: %w", err)
	}
	for range servers {
		if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve HTTP: %w", err)
		}
	}
	return nil
}

// withoutTLS returns the protocols of a server without TLS. Clients that speak gRPC, which needs HTTP/2, get an
// answer that says what to use instead.
func withoutTLS() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	return p
}

func closeAll(servers []*http.Server) {
	for _, server := range servers {
		_ = server.Close() // the first error counts
	}
}

// listen opens the sockets that the flags name, as toolkit.ListenAndServe does.
func listen(flags *toolkit.FlagConfig, logger *slog.Logger) ([]net.Listener, error) {
	if flags.WebSystemdSocket != nil && *flags.WebSystemdSocket {
		logger.Info("Listening on systemd activated listeners instead of port listeners.")
		listeners, err := activation.Listeners()
		if err == nil && len(listeners) == 0 {
			err = errors.New("no socket activation file descriptors found")
		}
		return listeners, err
	}
	var listeners []net.Listener
	for _, address := range *flags.WebListenAddresses {
		listener, err := listenOn(address)
		if err != nil {
			for _, opened := range listeners {
				_ = opened.Close()
			}
			return nil, err
		}
		listeners = append(listeners, listener)
	}
	if len(listeners) == 0 {
		return nil, toolkit.ErrNoListeners
	}
	return listeners, nil
}

func listenOn(address string) (net.Listener, error) {
	if !strings.HasPrefix(address, "vsock://") {
		return net.Listen("tcp", address)
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(u.Port(), 10, 32)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return vsock.Listen(uint32(port), nil)
}

// freeProbes has the server answer probes without the password that --web.config.file asks
// for. The toolkit wraps the handler of a server just before the server serves, which is
// when BaseContext is called.
func freeProbes(server *http.Server, handler http.Handler, prefix string) {
	server.BaseContext = func(net.Listener) context.Context {
		guarded := server.Handler
		server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if path := r.URL.Path; path == prefix+"/-/healthy" || path == prefix+"/-/ready" {
				handler.ServeHTTP(w, r)
				return
			}
			guarded.ServeHTTP(w, r)
		})
		return context.Background()
	}
}

// closeStore waits for what runs in the background and closes the store. The error of
// opening the store counts, unless that was interrupted: then there is nothing to lose.
func closeStore(groups *store.Store, opened <-chan error, background *sync.WaitGroup, logger *slog.Logger) error {
	ctx, cancel := context.WithTimeout(context.Background(), maxClose)
	defer cancel()
	if status := groups.Status(); status.File != "" {
		logger.Info("stopping: waiting until all changes are on disk", "file", status.File, "at_most", maxClose)
	}
	done := make(chan struct{})
	go func() {
		background.Wait()
		close(done)
	}()
	err := <-opened // soon after ctx of runServer has ended
	if errors.Is(err, context.Canceled) {
		logger.Warn("stopped before the stored groups were loaded")
		return nil
	}
	select {
	case <-done:
	case <-ctx.Done(): // a group may be expiring: Close waits for that, too
	}
	if err = errors.Join(err, groups.Close(ctx)); err == nil {
		logger.Info("stopped")
	}
	return err
}
