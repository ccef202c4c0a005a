package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/alecthomas/kingpin/v2"

	"pushgateway/internal/client"
)

const reloadHelp = `Have a gateway read its rules file and its auth file again.

If one of them has a mistake, its previous version stays in use, and the command fails with the
reason. The gateway needs --web.enable-lifecycle.

Example:
  pushgateway reload
`

func reloadCommand() command { return command{"reload", reloadHelp, declareReload} }

func declareReload(app *kingpin.Application) action {
	flags := addAPIFlags(app)
	return withGateway(flags, "reload files", func(ctx context.Context, gateway *client.Client, call *invocation) error {
		_, err := gateway.Text(ctx, http.MethodPut, "/-/reload", nil)
		if failed, ok := errors.AsType[*client.Error](err); ok && strings.HasPrefix(failed.Message, "Lifecycle API is not enabled") {
			return fmt.Errorf("%w Start the gateway with --web.enable-lifecycle, or send it SIGHUP", err)
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(call.out, "reloaded")
		return err
	})
}
