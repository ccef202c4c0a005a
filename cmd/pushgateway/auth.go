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
	"pushgateway/internal/store"
	"pushgateway/internal/web"
)

// authCommand is the subcommand about the auth file.
const authCommand = "auth"

// auth runs the subcommand auth, if args begin with it, and returns its exit status: 1 if
// a file or password cannot be used, or if what is asked about is not allowed.
func auth(args []string, in *os.File, out, errOut io.Writer) (status int, ok bool) {
	if len(args) == 0 || args[0] != authCommand {
		return 0, false
	}
	app := kingpin.New("pushgateway "+authCommand, "Makes what an auth file (--auth.file) holds, and says what it allows.")
	app.HelpFlag.Short('h')
	app.UsageWriter(errOut)
	app.ErrorWriter(errOut)

	hash := app.Command("hash", "Read a password and print its bcrypt hash, for password_bcrypt in the auth file. "+
		"The password is asked for, or is the first line of the standard input.")
	cost := hash.Flag("cost", "Cost of the hash. Each step doubles the time that checking a password takes.").
		Default(fmt.Sprint(bcrypt.DefaultCost)).Int()
	token := app.Command("token", "Make a bearer token and print it with its hash, for bearer_token_sha256 in the auth file.")

	check := app.Command("check", "Verify an auth file. With --as, say whether a user may send a request, and why: "+
		"pushgateway auth check auth.yml --as checkout-ci PUT /metrics/job/x/team/checkout")
	file := check.Arg("file", "The auth file.").Required().String()
	name := check.Flag("as", `Name of the user; "anonymous" for requests without a credential.`).String()
	method := check.Arg("method", "Method of the request.").String()
	path := check.Arg("path", "Path of the request, without a route prefix.").String()

	command, err := app.Parse(args[1:])
	if err != nil {
		fmt.Fprintf(errOut, "pushgateway auth: %v; pushgateway auth --help lists what there is\n", err)
		return 2, true
	}
	switch command {
	case hash.FullCommand():
		err = printHash(in, out, errOut, *cost)
	case token.FullCommand():
		printToken(out)
	case check.FullCommand():
		if (*name == "") != (*method == "") || (*method == "") != (*path == "") {
			fmt.Fprintln(errOut, "usage: pushgateway auth check FILE [--as NAME METHOD PATH]")
			return 2, true
		}
		return checkAuth(*file, *name, strings.ToUpper(*method), *path, out, errOut), true
	}
	if err != nil {
		fmt.Fprintln(errOut, err)
		return 1, true
	}
	return 0, true
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
func checkAuth(file, name, method, path string, out, errOut io.Writer) (status int) {
	policy, err := access.Load(file)
	if err != nil {
		fmt.Fprintln(errOut, err)
		return 1
	}
	if name == "" {
		describeUsers(file, policy, out)
		return 0
	}
	user := policy.Principal(name)
	if user == nil {
		fmt.Fprintf(errOut, "%s: there is no user %s; the users are: %s\n", file, name, strings.Join(policy.Users(), ", "))
		return 1
	}
	decision, err := decide(user, method, path)
	if err != nil {
		fmt.Fprintln(errOut, err)
		return 2
	}
	fmt.Fprintf(out, "%s %s needs %s\n", method, path, decision.Needs)
	if !decision.Allowed {
		fmt.Fprintf(out, "not allowed (%d): %s\n", decision.Status, decision.Reason)
		return 1
	}
	fmt.Fprintf(out, "allowed: %s\n", decision.Reason)
	return 0
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
	manager, err := newRules(o, groups, clock, logger)
	if err != nil {
		return web.Decision{}, err
	}
	server, err := newHandler(o, groups, clock, nil, manager, nil, logger, func() {})
	if err != nil {
		return web.Decision{}, err
	}
	return server.Decide(user, method, path)
}
