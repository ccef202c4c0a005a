package test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// certificate writes a certificate for the loopback address and its key into
// dir, and returns the pool that trusts it.
func certificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []struct {
		name, kind string
		der        []byte
	}{{"server.crt", "CERTIFICATE", der}, {"server.key", "PRIVATE KEY", keyDER}} {
		text := pem.EncodeToMemory(&pem.Block{Type: file.kind, Bytes: file.der})
		if err := os.WriteFile(filepath.Join(dir, file.name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return pool
}

func TestTLSAndBasicAuth(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pool := certificate(t, dir)
	hash, err := bcrypt.GenerateFromPassword([]byte("open sesame"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	// Relative paths are relative to the config file.
	config := fmt.Sprintf("tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\nbasic_auth_users:\n  pusher: %s\n", hash)
	path := filepath.Join(dir, "web.yml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}

	p := start(t, "--web.config.file="+path)
	p.client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: pool}
	push := func(t *testing.T, scheme, user, password string) int {
		p.URL = scheme + "://" + p.Addr
		var headers []string
		if user != "" {
			headers = []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))}
		}
		return p.do(t, http.MethodPut, "/metrics/job/a", "", headers...).status
	}
	for _, c := range []struct {
		scheme, user, password string
		want                   int
	}{
		{"https", "pusher", "open sesame", http.StatusOK},
		{"https", "pusher", "wrong", http.StatusUnauthorized},
		{"https", "stranger", "open sesame", http.StatusUnauthorized},
		{"https", "", "", http.StatusUnauthorized},
		{"http", "pusher", "open sesame", http.StatusBadRequest},
	} {
		t.Run(fmt.Sprintf("%s as %q with %q", c.scheme, c.user, c.password), func(t *testing.T) {
			if got := push(t, c.scheme, c.user, c.password); got != c.want {
				t.Errorf("status %d, want %d", got, c.want)
			}
		})
	}
}
