package main

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/alecthomas/kingpin/v2"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/term"

	"pushgateway/internal/access"
	"pushgateway/internal/limits"
	"pushgateway/internal/store"
	"pushgateway/internal/web"
)

// authCommand returns the command about auth files. It fails if a file or password cannot be
// used, or if what is asked about is not allowed.
func authCommand() command {
	return command{"auth", authHelp, declareAuth}
}

const authHelp = `Create entries for an auth file (--auth.file), and check what it allows.

Examples:

  pushgateway auth token
  pushgateway auth hash
  pushgateway auth check auth.yml --as checkout PUT /metrics/job/nightly/team/checkout
`

func declareAuth(app *kingpin.Application) action {
	hash := app.Command("hash", "Read a password and print its bcrypt hash, for password_bcrypt in the auth file. "+
		"The password is asked for, or is the first line of the standard input.")
	cost := hash.Flag("cost", "Cost of the hash. Each step doubles the time that checking a password takes.").
		Default(fmt.Sprint(bcrypt.DefaultCost)).Int()
	token := app.Command("token", "Make a bearer token and print it with its hash, for bearer_token_sha256 in the auth file.")

	check := app.Command("check", "Verify an auth file. With --as, say whether a user may send a request, and why.")
	file := check.Arg("file", "The auth file.").Required().String()
	name := check.Flag("as", `Name of the user; "anonymous" for requests without a credential.`).String()
	method := check.Arg("method", "Method of the request.").String()
	path := check.Arg("path", "Path of the request, without a route prefix.").String()

	return func(call *invocation) error {
		switch call.selected {
		case hash.FullCommand():
			return printHash(call.in, call.out, call.errOut, *cost)
		case token.FullCommand():
			printToken(call.out)
			return nil
		}
		if (*name == "") != (*method == "") || (*method == "") != (*path == "") {
			return usageError("usage: pushgateway auth check FILE [--as NAME METHOD PATH]")
		}
		return checkAuth(*file, *name, strings.ToUpper(*method), *path, call.out)
	}
}

// printHash prints the bcrypt hash of a password.
func printHash(in *os.File, out, errOut io.Writer, cost int) error {
	password, err := readPassword(in, errOut)
	if err != nil {
		return fmt.Errorf("read the password: %w", err)
	}
	switch {
	case len(password) == 0:
		return errors.New("the password is empty")
	case cost > access.MaxBcryptCost:
		return fmt.Errorf("cost %d would take a processor for seconds at each sign-in; the maximum is %d", cost, access.MaxBcryptCost)
	}
	hash, err := bcrypt.GenerateFromPassword(password, cost)
	if err != nil {
		return fmt.Errorf("hash the password: %w", err)
	}
	fmt.Fprintf(out, "%s\n", hash)
	return nil
}

// readPassword asks for a password on a terminal, without showing it, and otherwise
// reads the first line of in.
func readPassword(in *os.File, errOut io.Writer) ([]byte, error) {
	if terminal := int(in.Fd()); term.IsTerminal(terminal) {
		fmt.Fprint(errOut, "Password: ")
		defer fmt.Fprintln(errOut)
		return term.ReadPassword(terminal)
	}
	line, err := bufio.NewReader(in).ReadString('\n')
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return []byte(strings.TrimRight(line, "\r\n")), err
}

// printToken makes a token of 256 random bits. It needs no slow hash, since nobody can
// try them all.
func printToken(out io.Writer) {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	token := "pgw_" + hex.EncodeToString(secret)
	hash := sha256.Sum256([]byte(token))
	fmt.Fprintf(out, "token: %s\nbearer_token_sha256: %s\n", token, hex.EncodeToString(hash[:]))
}

// checkAuth verifies an auth file and lists its users, or says whether one of them may
// send a request.
func checkAuth(file, name, method, path string, out io.Writer) error {
	policy, err := access.Load(file)
	if err != nil {
		return err
	}
	if name == "" {
		describeUsers(file, policy, out)
		return nil
	}
	user := policy.Principal(name)
	if user == nil {
		return fmt.Errorf("%s: there is no user %s; the users are: %s", file, name, strings.Join(policy.Users(), ", "))
	}
	decision, err := decide(user, method, path)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	fmt.Fprintf(out, "%s %s needs %s\n", method, path, decision.Needs)
	if !decision.Allowed {
		fmt.Fprintf(out, "not allowed (%d): %s\n", decision.Status, decision.Reason)
		return &exitError{status: exitFailed}
	}
	fmt.Fprintf(out, "allowed: %s\n", decision.Reason)
	return nil
}

func describeUsers(file string, policy *access.Policy, out io.Writer) {
	noun := "users"
	if len(policy.Users()) == 1 {
		noun = "user"
	}
	fmt.Fprintf(out, "%s: %d %s\n", file, len(policy.Users()), noun)
	for _, name := range append(policy.Users(), access.Anonymous) {
		if p := policy.Principal(name); p != nil {
			rights := p.Describe()
			if rights == "none" {
				rights = "do nothing"
			}
			fmt.Fprintf(out, "%s: may %s\n", name, rights)
		}
	}
}

// decide asks a gateway with all routes and no groups.
func decide(user *access.Principal, method, path string) (web.Decision, error) {
	o := parseFlags("pushgateway", []string{"--web.enable-admin-api", "--web.enable-lifecycle", "--push.enable-utf8-names"})
	logger := slog.New(slog.DiscardHandler)
	groups, clock := store.InMemory(), store.SystemClock()
	manager, err := newRules(o, groups, clock, &configHashes{}, logger)
	if err != nil {
		return web.Decision{}, err
	}
	server, err := newHandler(o, groups, new(limits.Pacer), clock, nil, manager, nil, logger, func() {})
	if err != nil {
		return web.Decision{}, err
	}
	return server.Decide(user, method, path)
}
