package access

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"go.yaml.in/yaml/v3"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/net/http/httpguts"

	"pushgateway/internal/metric"
	"pushgateway/internal/selector"
)

const (
	maxFileSize = 4 << 20
	maxProblems = 20
	maxNameSize = 200
	// MaxBcryptCost is the maximum cost of a password hash. It keeps a hash from taking a processor for seconds.
	MaxBcryptCost          = 15
	defaultSessionLifetime = 12 * time.Hour
	maxSessionLifetime     = 30 * 24 * time.Hour
)

// Policy is what an auth file says. It is immutable but for the passwords that it has
// seen to be right, and safe for concurrent use.
type Policy struct {
	users     []*user
	byName    map[string]*user
	byToken   map[credential]*user
	byLogin   map[string]*user // username
	byCert    map[string]*user // name in a client certificate
	byProxy   map[string]*user // value of the trusted proxy's header
	anonymous *Principal       // nil if requests need a credential

	// costliest is a password hash of the greatest cost in the file; nil if there is
	// no password.
	costliest []byte

	proxyAddresses  []netip.Prefix
	proxyHeader     string // canonical; empty if the proxy does not name users
	sessionLifetime time.Duration

	passwords knownPasswords
}

// credential identifies a credential as the file has it: the SHA-256 hash of a token,
// or of what the file says of another kind.
type credential [sha256.Size]byte

// user is an entry of the file.
type user struct {
	Principal
	login        string
	passwordHash []byte // nil if the user has none
	credentials  map[credential]bool
}

// Users returns the names of the users, in the order of the file.
func (p *Policy) Users() []string {
	names := make([]string, len(p.users))
	for i, u := range p.users {
		names[i] = u.name
	}
	return names
}

// Principal returns the user of this name, or what may be done without a credential
// for the name "anonymous"; nil if there is neither.
func (p *Policy) Principal(name string) *Principal {
	if name == Anonymous {
		return p.anonymous
	}
	if u := p.byName[name]; u != nil {
		return &u.Principal
	}
	return nil
}

// InvalidError says what is wrong with an auth file.
type InvalidError struct {
	File     string   // empty if the text is not from a file
	Problems []string // each with its line
}

// Error returns a line for each problem.
func (e *InvalidError) Error() string {
	prefix := ""
	if e.File != "" {
		prefix = e.File + ": "
	}
	return prefix + strings.Join(e.Problems, "\n"+prefix)
}

// Load reads an auth file. If the file could be read, the error is an *InvalidError.
func Load(file string) (*Policy, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("load auth file: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return nil, fmt.Errorf("load auth file: %w", err)
	}
	policy, err := Parse(text)
	if invalid, ok := errors.AsType[*InvalidError](err); ok {
		invalid.File = file
	}
	return policy, err
}

// The file's shape. Values are nodes, so that problems can name their lines.
type (
	fileText struct {
		Users           []userText     `yaml:"users"`
		Anonymous       *anonymousText `yaml:"anonymous"`
		TrustedProxy    *proxyText     `yaml:"trusted_proxy"`
		SessionLifetime yaml.Node      `yaml:"session_lifetime"`
	}
	userText struct {
		Name              yaml.Node `yaml:"name"`
		BearerTokenSHA256 yaml.Node `yaml:"bearer_token_sha256"`
		Username          yaml.Node `yaml:"username"`
		PasswordBcrypt    yaml.Node `yaml:"password_bcrypt"`
		ClientCertName    yaml.Node `yaml:"client_cert_name"`
		ProxyUser         yaml.Node `yaml:"proxy_user"`
		Allow             yaml.Node `yaml:"allow"`
		Match             yaml.Node `yaml:"match"`
	}
	anonymousText struct {
		Allow yaml.Node `yaml:"allow"`
		Match yaml.Node `yaml:"match"`
	}
	proxyText struct {
		Addresses  yaml.Node `yaml:"addresses"`
		UserHeader yaml.Node `yaml:"user_header"`
	}
)

// Parse reads the text of an auth file. It rejects what it does not know. The error is
// an *InvalidError.
func Parse(text []byte) (*Policy, error) {
	if len(text) > maxFileSize {
		return nil, &InvalidError{Problems: []string{fmt.Sprintf("larger than %d bytes", maxFileSize)}}
	}
	var file fileText
	if problems := decode(text, &file); problems != nil {
		return nil, &InvalidError{Problems: problems}
	}
	r := fileReader{policy: &Policy{
		byName: map[string]*user{}, byToken: map[credential]*user{}, byLogin: map[string]*user{},
		byCert: map[string]*user{}, byProxy: map[string]*user{},
		sessionLifetime: defaultSessionLifetime,
	}}
	r.file(&file)
	if len(r.problems) > 0 {
		return nil, &InvalidError{Problems: r.problems[:min(len(r.problems), maxProblems)]}
	}
	return r.policy, nil
}

// unknownField is how the YAML library words a key that a struct does not have.
var unknownField = regexp.MustCompile(`field (.*) not found in type access\.(\w+)`)

// decode reads the only document of a text and returns what is wrong with it.
func decode(text []byte, file *fileText) (problems []string) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	err := decoder.Decode(file)
	if err == nil {
		if err = decoder.Decode(new(yaml.Node)); err == nil {
			return []string{"a second YAML document begins; everything must be in one"}
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	lines := []string{strings.TrimPrefix(err.Error(), "yaml: ")}
	if e, ok := errors.AsType[*yaml.TypeError](err); ok {
		lines = e.Errors
	}
	for _, line := range lines[:min(len(lines), maxProblems)] {
		problems = append(problems, metric.Shorten(explainField(line)))
	}
	return problems
}

// explainField says of an unknown key what could be meant.
func explainField(line string) string {
	found := unknownField.FindStringSubmatchIndex(line)
	if found == nil {
		return line
	}
	key := line[found[2]:found[3]]
	known := map[string]string{
		"fileText":      "users, anonymous, trusted_proxy, session_lifetime",
		"userText":      "name, bearer_token_sha256, username, password_bcrypt, client_cert_name, proxy_user, allow, match",
		"anonymousText": "allow, match",
		"proxyText":     "addresses, user_header",
	}[line[found[4]:found[5]]]
	advice := "the keys here are " + known
	switch key {
	case "password":
		advice = "passwords are stored as password_bcrypt; pushgateway auth hash makes one"
	case "bearer_token", "token":
		advice = "tokens are stored as bearer_token_sha256; pushgateway auth token makes one"
	}
	return line[:found[0]] + fmt.Sprintf("unknown key %s: ", plain(key)) + advice
}

// A fileReader turns the text of a file into a policy and gathers what is wrong.
type fileReader struct {
	policy   *Policy
	problems []string
	where    string // the entry that is being read, such as `user "a": `
}

func (r *fileReader) report(node *yaml.Node, format string, args ...any) {
	text := r.where + fmt.Sprintf(format, args...)
	if node != nil && node.Line > 0 {
		text = fmt.Sprintf("line %d: ", node.Line) + text
	}
	r.problems = append(r.problems, metric.Shorten(text))
}

func (r *fileReader) file(f *fileText) {
	r.proxy(f.TrustedProxy)
	for i := range f.Users {
		if len(r.problems) >= maxProblems {
			return
		}
		r.user(&f.Users[i], i+1)
	}
	r.where = ""
	if f.Anonymous != nil {
		r.where = "anonymous: "
		r.policy.anonymous = &Principal{name: Anonymous, allow: r.allow(&f.Anonymous.Allow, nil), match: r.match(&f.Anonymous.Match)}
		r.where = ""
	}
	if text, ok := r.scalar(&f.SessionLifetime, "session_lifetime"); ok {
		lifetime, err := model.ParseDuration(text)
		if err != nil || lifetime <= 0 || time.Duration(lifetime) > maxSessionLifetime {
			r.report(&f.SessionLifetime, "session_lifetime: %s is not a duration such as 8h, of at most 30d", plain(text))
		}
		r.policy.sessionLifetime = time.Duration(lifetime)
	}
	if len(f.Users) == 0 && f.Anonymous == nil && len(r.problems) == 0 {
		r.report(nil, "no users: and no anonymous:, so nobody could do anything")
	}
}

func (r *fileReader) proxy(p *proxyText) {
	if p == nil {
		return
	}
	r.where = "trusted_proxy: "
	for _, node := range r.list(&p.Addresses, "addresses") {
		prefix, err := netip.ParsePrefix(node.Value)
		if err != nil {
			var address netip.Addr
			if address, err = netip.ParseAddr(node.Value); err == nil {
				prefix = netip.PrefixFrom(address, address.BitLen())
			}
		}
		if err != nil {
			r.report(node, "addresses: %s is not an IP address or a network such as 10.0.0.0/8", plain(node.Value))
			continue
		}
		r.policy.proxyAddresses = append(r.policy.proxyAddresses, prefix.Masked())
	}
	if len(r.policy.proxyAddresses) == 0 && len(r.problems) == 0 {
		r.report(&p.UserHeader, "addresses: missing; list the addresses that the proxy connects from")
	}
	if name, ok := r.scalar(&p.UserHeader, "user_header"); ok {
		r.policy.proxyHeader = http.CanonicalHeaderKey(name)
		if !httpguts.ValidHeaderFieldName(name) || slices.Contains([]string{"Authorization", "Cookie", "Host"}, r.policy.proxyHeader) {
			r.report(&p.UserHeader, "user_header: %s is not the name of a header in which a proxy can name users", plain(name))
		}
	}
}

// user reads the user with the given number.
func (r *fileReader) user(text *userText, number int) {
	r.where = fmt.Sprintf("user %d: ", number)
	name, ok := r.scalar(&text.Name, "name")
	if !ok {
		if text.Name.Kind == 0 {
			r.report(firstOf(text), "name: missing; it is what the log and the pages call the user")
		}
		return
	}
	r.where = fmt.Sprintf("user %s: ", plain(name))
	u := &user{Principal: Principal{name: name}, credentials: map[credential]bool{}}
	switch {
	case name == Anonymous:
		r.report(&text.Name, "name: rights of requests without a credential belong under the key anonymous, next to users")
	case r.policy.byName[name] != nil:
		r.report(&text.Name, "name: another user has it already")
	}
	u.allow = r.allow(&text.Allow, firstOf(text))
	u.match = r.match(&text.Match)
	for _, node := range r.list(&text.BearerTokenSHA256, "bearer_token_sha256") {
		r.token(u, node)
	}
	r.password(u, text)
	for _, node := range r.list(&text.ClientCertName, "client_cert_name") {
		r.claim(u, node, "client_cert_name", r.policy.byCert)
	}
	for _, node := range r.list(&text.ProxyUser, "proxy_user") {
		if r.policy.proxyHeader == "" {
			r.report(node, "proxy_user: needs trusted_proxy with its user_header")
		}
		r.claim(u, node, "proxy_user", r.policy.byProxy)
	}
	if len(u.credentials) == 0 && len(r.problems) == 0 {
		r.report(&text.Name, "no credential: give bearer_token_sha256, password_bcrypt, client_cert_name or proxy_user")
	}
	r.policy.users = append(r.policy.users, u)
	r.policy.byName[name] = u
}

// token reads the hash of a token.
func (r *fileReader) token(u *user, node *yaml.Node) {
	hash, err := hex.DecodeString(node.Value)
	if err != nil || len(hash) != sha256.Size {
		// It may be the token itself, which has no business in a log.
		r.report(node, "bearer_token_sha256: not a SHA-256 hash, which is 64 hexadecimal digits; pushgateway auth token makes a token and its hash")
		return
	}
	c := credential(hash)
	if other := r.policy.byToken[c]; other != nil {
		r.report(node, "bearer_token_sha256: user %s has it already", plain(other.name))
		return
	}
	r.policy.byToken[c] = u
	u.credentials[c] = true
}

// password reads the user name and the password's hash.
func (r *fileReader) password(u *user, text *userText) {
	login, named := r.scalar(&text.Username, "username")
	hash, given := r.scalar(&text.PasswordBcrypt, "password_bcrypt")
	switch {
	case named && !given:
		r.report(&text.Username, "username: needs password_bcrypt; pushgateway auth hash makes one")
		return
	case !given:
		return
	case !named:
		login = u.name
	}
	cost, err := bcrypt.Cost([]byte(hash))
	switch {
	case err != nil || len(hash) != 60:
		r.report(&text.PasswordBcrypt, "password_bcrypt: not a bcrypt hash, as pushgateway auth hash and htpasswd -B make it")
		return
	case cost > MaxBcryptCost:
		r.report(&text.PasswordBcrypt, "password_bcrypt: has cost %d, which would take a processor for seconds; the maximum is %d", cost, MaxBcryptCost)
		return
	case strings.Contains(login, ":"):
		r.report(&text.Username, "username: cannot contain a colon; HTTP ends user names there")
		return
	case r.policy.byLogin[login] != nil:
		r.report(&text.PasswordBcrypt, "username: %s is the user name of user %s already", plain(login), plain(r.policy.byLogin[login].name))
		return
	}
	u.login, u.passwordHash = login, []byte(hash)
	u.credentials[u.passwordCredential()] = true
	r.policy.byLogin[login] = u
	if costliest, err := bcrypt.Cost(r.policy.costliest); err != nil || cost > costliest {
		r.policy.costliest = u.passwordHash
	}
}

// passwordCredential changes with the user name and the hash.
func (u *user) passwordCredential() credential {
	return credentialOf("password", u.login+":"+string(u.passwordHash))
}

func credentialOf(kind, value string) credential {
	return sha256.Sum256([]byte(kind + "\x00" + value))
}

// claim reads a name that no other user may have.
func (r *fileReader) claim(u *user, node *yaml.Node, kind string, owners map[string]*user) {
	if other := owners[node.Value]; other != nil {
		r.report(node, "%s: %s belongs to user %s already", kind, plain(node.Value), plain(other.name))
		return
	}
	owners[node.Value] = u
	u.credentials[credentialOf(kind, node.Value)] = true
}

// allow reads a list of rights. missing is where to report that there is none.
func (r *fileReader) allow(list, missing *yaml.Node) rightSet {
	var allow rightSet
	if list.Kind == 0 {
		r.report(missing, "allow: missing; list the rights: %s", strings.Join(rightNames[:], ", "))
		return allow
	}
	for _, node := range r.list(list, "allow") {
		i := slices.Index(rightNames[:], node.Value)
		if i < 0 {
			r.report(node, "allow: %s is not a right; the rights are %s", plain(node.Value), strings.Join(rightNames[:], ", "))
			continue
		}
		allow |= 1 << i
	}
	return allow
}

// match reads a selector of grouping labels.
func (r *fileReader) match(node *yaml.Node) []*labels.Matcher {
	if node.Kind == yaml.MappingNode {
		r.report(node, `match: a selector must be in quotes, as in match: '{team="checkout"}'`)
		return nil
	}
	text, ok := r.scalar(node, "match")
	if !ok {
		return nil
	}
	matchers, err := selector.Parse(text)
	if err != nil {
		r.report(node, "match: %s: %v", plain(text), err)
	}
	for _, m := range matchers {
		if m.Name == metric.NameLabel {
			r.report(node, "match: %s asks for the metric name %s, but rights are for groups, which have labels only", plain(text), plain(m.Value))
		}
	}
	return matchers
}

// scalar returns the value of a node, and whether there is one.
func (r *fileReader) scalar(node *yaml.Node, key string) (text string, ok bool) {
	switch {
	case node.Kind == 0:
		return "", false
	case node.Kind != yaml.ScalarNode:
		r.report(node, "%s: must be a single value", key)
	case node.ShortTag() == "!!null" || node.Value == "":
		r.report(node, "%s: has no value", key)
	case len(node.Value) > maxNameSize && key != "match":
		r.report(node, "%s: longer than %d bytes", key, maxNameSize)
	case !utf8.ValidString(node.Value) || strings.ContainsFunc(node.Value, func(c rune) bool { return !strconv.IsPrint(c) }):
		r.report(node, "%s: has characters that cannot be printed", key)
	default:
		return node.Value, true
	}
	return "", false
}

// list returns the values of a node that is a value or a list of them.
func (r *fileReader) list(node *yaml.Node, key string) []*yaml.Node {
	nodes := []*yaml.Node{node}
	if node.Kind == yaml.SequenceNode {
		nodes = node.Content
	}
	return slices.DeleteFunc(slices.Clone(nodes), func(n *yaml.Node) bool {
		_, ok := r.scalar(n, key)
		return !ok
	})
}

// firstOf returns the value that a user's entry begins with.
func firstOf(text *userText) *yaml.Node {
	var first *yaml.Node
	for _, node := range []*yaml.Node{
		&text.Name, &text.BearerTokenSHA256, &text.Username, &text.PasswordBcrypt,
		&text.ClientCertName, &text.ProxyUser, &text.Allow, &text.Match,
	} {
		if node.Kind != 0 && (first == nil || node.Line < first.Line) {
			first = node
		}
	}
	return first
}

// plain returns a text as it is if it can be read like that in a message, and
// otherwise quoted.
func plain(text string) string {
	if text == "" || strings.ContainsFunc(text, func(c rune) bool { return !strconv.IsPrint(c) || c == ' ' || c == utf8.RuneError }) {
		return strconv.Quote(text)
	}
	return text
}
