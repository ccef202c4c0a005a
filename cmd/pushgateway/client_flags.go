package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/version"

	"pushgateway/internal/client"
)

// defaultURL is where a gateway listens unless told otherwise.
const defaultURL = "http://localhost:9091"

// clientFlags are the flags of all commands that talk to a gateway.
type clientFlags struct {
	url                           string
	username                      string
	passwordFile, bearerTokenFile string
	caFile, certFile, keyFile     string
	serverName                    string
	skipVerify                    bool
	timeout                       time.Duration
}

// addClientFlags adds the flags to a command. The one that bounds how long a request may take,
// with all its retries, is named by the caller.
func addClientFlags(app *kingpin.Application, timeoutFlag string, timeout time.Duration) *clientFlags {
	f := new(clientFlags)
	app.Flag("url", "URL of the gateway, with its route prefix.").
		Default(defaultURL).Envar("PUSHGATEWAY_URL").StringVar(&f.url)
	app.Flag("username", "User for basic auth. The password is in the file of --password-file, or in $PUSHGATEWAY_PASSWORD.").
		Envar("PUSHGATEWAY_USERNAME").PlaceHolder("NAME").StringVar(&f.username)
	app.Flag("password-file", "File with the password for basic auth.").
		Envar("PUSHGATEWAY_PASSWORD_FILE").PlaceHolder("FILE").StringVar(&f.passwordFile)
	app.Flag("bearer-token-file", "File with a bearer token. The token can also be in $PUSHGATEWAY_BEARER_TOKEN.").
		Envar("PUSHGATEWAY_BEARER_TOKEN_FILE").PlaceHolder("FILE").StringVar(&f.bearerTokenFile)
	app.Flag("tls.ca-file", "File with certificates (PEM) of the authorities to trust, instead of the system's.").
		Envar("PUSHGATEWAY_TLS_CA_FILE").PlaceHolder("FILE").StringVar(&f.caFile)
	app.Flag("tls.cert-file", "File with a client certificate (PEM).").
		Envar("PUSHGATEWAY_TLS_CERT_FILE").PlaceHolder("FILE").StringVar(&f.certFile)
	app.Flag("tls.key-file", "File with the key (PEM) of the client certificate.").
		Envar("PUSHGATEWAY_TLS_KEY_FILE").PlaceHolder("FILE").StringVar(&f.keyFile)
	app.Flag("tls.server-name", "Name that the gateway's certificate must have, if it is not the host of the URL.").
		PlaceHolder("NAME").StringVar(&f.serverName)
	app.Flag("tls.insecure-skip-verify", "Accept any certificate of the gateway.").
		BoolVar(&f.skipVerify)
	app.Flag(timeoutFlag, "How long a request to the gateway may take, with all its retries.").
		Default(timeout.String()).PlaceHolder(timeout.String()).DurationVar(&f.timeout)
	return f
}

// client returns a client that is set up by the flags and the environment. onRetry may be nil.
func (f *clientFlags) client(onRetry func(err error, wait time.Duration)) (*client.Client, error) {
	config := client.Config{
		URL: f.url, Username: f.username, Timeout: f.timeout, OnRetry: onRetry,
		UserAgent: "pushgateway/" + version.Version,
	}
	var errPassword, errToken, errTLS error
	config.Password, errPassword = secret(f.passwordFile, "PUSHGATEWAY_PASSWORD")
	config.BearerToken, errToken = secret(f.bearerTokenFile, "PUSHGATEWAY_BEARER_TOKEN")
	config.TLS, errTLS = f.tls()
	if err := errors.Join(errPassword, errToken, errTLS); err != nil {
		return nil, &exitError{exitUsage, err}
	}
	if config.BearerToken != "" && (config.Username != "" || config.Password != "") {
		return nil, usageError("both a bearer token and a user with a password are given: use one of them")
	}
	c, err := client.New(config)
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	return c, nil
}

// secret returns the first line of the file or, if none is named, the value of the environment
// variable.
func secret(file, variable string) (string, error) {
	if file == "" {
		return os.Getenv(variable), nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	if line = strings.TrimRight(line, "\r"); line == "" {
		return "", fmt.Errorf("the first line of %s is empty", file)
	}
	return line, nil
}

// tls returns the configuration for https.
func (f *clientFlags) tls() (*tls.Config, error) {
	config := &tls.Config{ServerName: f.serverName, InsecureSkipVerify: f.skipVerify} // #nosec G402 -- only if asked for
	if f.caFile != "" {
		pem, err := os.ReadFile(f.caFile)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s has no certificate in PEM", f.caFile)
		}
	}
	if f.certFile != "" || f.keyFile != "" {
		certificate, err := tls.LoadX509KeyPair(f.certFile, cmp.Or(f.keyFile, f.certFile))
		if err != nil {
			return nil, fmt.Errorf("client certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	return config, nil
}

// requestError gives an error of a request the exit status that says whether trying again may
// help. It returns nil for nil.
func requestError(err error) error {
	if err != nil && client.Temporary(err) {
		return &exitError{exitUnavailable, err}
	}
	return err
}
