package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/alecthomas/kingpin/v2"

	"pushgateway/internal/client"
)

const wipeHelp = `Delete all groups of a gateway.

On a terminal it asks first. Scripts give --yes. The gateway needs --web.enable-admin-api. It works
with the Prometheus Pushgateway, too.

Example:
  pushgateway wipe --yes
`

func wipeCommand() command { return command{"wipe", wipeHelp, declareWipe} }

func declareWipe(app *kingpin.Application) action {
	flags := addAPIFlags(app)
	yes := addYesFlag(app)
	return withGateway(flags, "delete all groups by an API", func(ctx context.Context, gateway *client.Client, call *invocation) error {
		if !*yes {
			what := "all groups"
			if list, err := gateway.Groups(ctx, url.Values{}, 0, 0); err == nil {
				what = "all " + groupCount(list.Total)
			}
			if err := confirm(call, fmt.Sprintf("Delete %s of %s?", what, gateway.URL())); err != nil {
				return err
			}
		}
		_, err := gateway.Text(ctx, http.MethodPut, "/api/v1/admin/wipe", nil)
		if failed, ok := errors.AsType[*client.Error](err); ok && failed.Status == http.StatusNotFound {
			if server, probeErr := gateway.Server(ctx); probeErr == nil && server.Product == client.Upstream {
				return fmt.Errorf("%s is %v without its admin API: start it with --web.enable-admin-api", gateway.URL(), server.Product)
			}
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(call.out, "all groups deleted")
		return err
	})
}
