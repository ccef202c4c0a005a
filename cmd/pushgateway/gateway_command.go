package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"pushgateway/internal/client"
)

// defaultAPITimeout is how long a request to the API may take.
const defaultAPITimeout = 30 * time.Second

// addAPIFlags adds the flags of commands that use the API of a gateway.
func addAPIFlags(app *kingpin.Application) *clientFlags {
	return addClientFlags(app, "timeout", defaultAPITimeout)
}

// withGateway returns the action of a command that asks a gateway. do is called with a client
// that is set up by the flags. feature says what the command needs, as in "list its groups".
func withGateway(flags *clientFlags, feature string, do func(ctx context.Context, gateway *client.Client, call *invocation) error) action {
	return func(call *invocation) error {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		progress := newProgress(call.errOut)
		gateway, err := flags.client(func(err error, wait time.Duration) {
			if isFailure(err) {
				cancel()
			}
			progress.show(fmt.Sprintf("%v; trying again in %v", err, wait.Round(time.Millisecond)))
		})
		if err != nil {
			return err
		}
		err = do(ctx, gateway, call)
		progress.done()
		return explainGatewayError(ctx, gateway, feature, err)
	}
}

// isFailure reports whether the gateway has tried and failed, as with a file that it cannot read:
// that is not tried again. What passes is answered with 503.
func isFailure(err error) bool {
	failed, ok := errors.AsType[*client.Error](err)
	return ok && failed.Status == http.StatusInternalServerError
}

// explainGatewayError adds to the error of a request what to do about it. It says so if the server
// is another one, which lacks the feature.
func explainGatewayError(ctx context.Context, gateway *client.Client, feature string, err error) error {
	mayBeAnother := errors.Is(err, client.ErrNotJSON)
	if failed, ok := errors.AsType[*client.Error](err); ok {
		switch failed.Status {
		case http.StatusInternalServerError:
			return err
		case http.StatusUnauthorized:
			return fmt.Errorf("%w\ngive a credential: --bearer-token-file, or --username with --password-file", err)
		case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed:
			mayBeAnother = true
		}
	}
	if mayBeAnother {
		server, probeErr := gateway.Server(ctx)
		if probeErr == nil && server.Product != client.Pushgateway {
			return fmt.Errorf("%s is %v, which cannot %s", gateway.URL(), server.Product, feature)
		}
	}
	return requestError(err)
}

// addYesFlag adds --yes.
func addYesFlag(app *kingpin.Application) *bool {
	return app.Flag("yes", "Do not ask. Required if there is no terminal to ask on.").Short('y').Bool()
}

// errNotConfirmed says that a person did not agree.
var errNotConfirmed = errors.New("nothing was changed")

// confirm asks a person whether to go on. It returns nil for yes, and an error for no or if there
// is nobody to ask.
func confirm(call *invocation, question string) error {
	if !isTerminal(call.in) || !isTerminal(call.errOut) {
		return usageError("there is no terminal to ask on: give --yes, and nothing is asked; nothing was changed")
	}
	fmt.Fprintf(call.errOut, "%s [y/N] ", question)
	line, _ := bufio.NewReader(call.in).ReadString('\n') // without an answer it is a no
	if answer := strings.ToLower(strings.TrimSpace(line)); answer != "y" && answer != "yes" {
		return errNotConfirmed
	}
	return nil
}
