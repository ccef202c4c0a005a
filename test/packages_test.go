package test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestRelease builds the release of this machine's platform twice, with the same bytes, and
// installs its packages.
func TestRelease(t *testing.T) {
	t.Parallel()
	version := strings.TrimSpace(text(t, filepath.Join(root, "VERSION")))
	name := "pushgateway-" + version + ".linux-amd64"
	out := filepath.Join(t.TempDir(), "release")
	build := func() map[string]string {
		cmd := command(t, "go", "run", "./scripts/release", "-out", out, "linux-amd64")
		cmd.Dir = root
		result(t, cmd)
		files := map[string]string{}
		entries, err := os.ReadDir(out)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			files[e.Name()] = text(t, filepath.Join(out, e.Name()))
		}
		return files
	}
	first, second := build(), build()
	deb, rpm := "pushgateway_"+version+"_amd64.deb", "pushgateway-"+version+"-1.x86_64.rpm"
	// checkDeb installs it without sudo, in a tree of its own.
	if _, code := installPage.block(t, "run", "packages"); code != "make release\nsudo apt install ./dist/release/"+deb+"\n" {
		t.Errorf("%s installs a package by\n%s", installPage, code)
	}
	for _, want := range []string{name + ".tar.gz", name + ".cdx.json", deb, rpm, "sha256sums.txt", "release-notes.md"} {
		if first[want] == "" {
			t.Errorf("no %s", want)
		}
	}
	for file, content := range first {
		if second[file] != content {
			t.Errorf("%s differs from build to build", file)
		}
	}

	t.Run("archive", func(t *testing.T) { checkArchive(t, name, first[name+".tar.gz"]) })
	t.Run("components", func(t *testing.T) { checkComponents(t, version, first[name+".cdx.json"]) })
	t.Run("deb", func(t *testing.T) { checkDeb(t, filepath.Join(out, deb)) })
	t.Run("service", func(t *testing.T) { checkService(t, filepath.Join(out, deb)) })
	t.Run("rpm", func(t *testing.T) { checkRPM(t, filepath.Join(out, rpm)) })
}

// TestServiceExposure: systemd rates the service as the page says.
func TestServiceExposure(t *testing.T) {
	t.Parallel()
	out := installPage.runWith(t, "exposure", root)
	if !strings.Contains(out, "Overall exposure level for pushgateway.service: 1.5 OK") {
		t.Errorf("systemd-analyze says\n%s", out)
	}
}

// text returns the content of a file.
func text(t *testing.T, path string) string {
	t.Helper()
	return string(readFile(t, path))
}

func checkArchive(t *testing.T, name, content string) {
	decompressor, err := gzip.NewReader(strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewReader(decompressor)
	var names []string
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, strings.TrimPrefix(header.Name, name+"/"))
		if header.Size == 0 {
			t.Errorf("%s is empty", header.Name)
		}
	}
	want := []string{
		"pushgateway", "LICENSE", "NOTICE", "README.md", "pushgateway.1",
		"completion/pushgateway.bash", "completion/pushgateway.zsh", "completion/pushgateway.fish",
	}
	if !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
}

func checkComponents(t *testing.T, version, content string) {
	var bom struct {
		Metadata   struct{ Component struct{ Version string } }
		Components []struct{ Name, Version string }
	}
	if err := json.Unmarshal([]byte(content), &bom); err != nil {
		t.Fatal(err)
	}
	if got := bom.Metadata.Component.Version; got != "v"+version {
		t.Errorf("version %q, want v%s", got, version)
	}
	list := command(t, "go", "version", "-m", gatewayBinary(t))
	for line := range strings.Lines(result(t, list)) {
		fields := strings.Fields(line)
		if len(fields) < 3 || fields[0] != "dep" {
			continue
		}
		if !slices.Contains(bom.Components, struct{ Name, Version string }{fields[1], fields[2]}) {
			t.Errorf("%s %s is missing", fields[1], fields[2])
		}
	}
}

// checkDeb installs the package into a Debian system in place of Debian's own, whose flags,
// user and file it takes over.
func checkDeb(t *testing.T, deb string) {
	if os.Getuid() != 0 {
		t.Fatal("run this test as root: it installs a package into a system of its own")
	}
	tree := filepath.Join(t.TempDir(), "debian")
	result(t, command(t, "debootstrap", "--variant=minbase", "--include=prometheus-pushgateway", "bookworm", tree))
	inside := func(name string, args ...string) *exec.Cmd {
		return command(t, "chroot", append([]string{tree, name}, args...)...)
	}
	// What an administrator and Debian's gateway left behind.
	settings := filepath.Join(tree, "etc/default/prometheus-pushgateway")
	writeFile(t, settings, []byte("# ours\nARGS=\"--push.ttl=30d --web.listen-address=127.0.0.1:0\"\n"))
	const data = "/var/lib/prometheus/pushgateway.data"
	writeFile(t, filepath.Join(tree, data), []byte(text(t, filepath.Join(root, "internal/journal/testdata/v1.5.1.store"))))
	result(t, inside("chown", "prometheus:prometheus", data))

	writeFile(t, filepath.Join(tree, "new.deb"), []byte(text(t, deb)))
	install := inside("dpkg", "--install", "/new.deb")
	install.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	result(t, install)
	if status := result(t, inside("dpkg-query", "--show", "-f", "${db:Status-Status}", "prometheus-pushgateway")); status == "installed" {
		t.Error("Debian's package is still installed")
	}
	wantText(t, text(t, settings), "--push.ttl=30d")
	if out, code := runToEnd(t, inside("/usr/bin/prometheus-pushgateway", "--version")); code != 0 {
		t.Errorf("exit code %d\n%s", code, out)
	}

	// The service is started as its unit says.
	unit := text(t, filepath.Join(tree, "usr/lib/systemd/system/pushgateway.service"))
	wantText(t, unit, "EnvironmentFile=-/etc/default/prometheus-pushgateway", "ExecStart=/usr/bin/pushgateway $ARGS", "User=prometheus",
		"Alias=prometheus-pushgateway.service",
		"Environment=PUSHGATEWAY_PERSISTENCE_FILE="+data)
	start := exec.Command("/bin/sh", "-c", ". /etc/default/prometheus-pushgateway; exec /usr/bin/pushgateway $ARGS")
	start.Dir = "/"
	start.Env = []string{"PUSHGATEWAY_PERSISTENCE_FILE=" + data}
	user, group := idsOf(t, tree, "prometheus")
	start.SysProcAttr = &syscall.SysProcAttr{Chroot: tree, Credential: &syscall.Credential{Uid: user, Gid: group}}
	p := launch(t, start)
	until(t, "Debian's file is imported", func() bool { return p.do(t, http.MethodGet, "/-/ready", "").status == http.StatusOK })
	wantText(t, p.get(t, "/metrics"), strings.Split(text(t, filepath.Join(root, "internal/journal/testdata/v1.5.1.metrics")), "\n")[0])
	wantText(t, p.get(t, "/api/v1/status"), `"push.ttl":"30d"`)
	p.stop(t)

	result(t, inside("dpkg", "--remove", "pushgateway"))
	wantText(t, text(t, settings), "--push.ttl=30d")
	if _, err := os.Stat(filepath.Join(tree, data)); err != nil {
		t.Error(err)
	}
}

// idsOf returns the user and group of a name in a tree.
func idsOf(t *testing.T, tree, name string) (user, group uint32) {
	t.Helper()
	info, err := os.Stat(filepath.Join(tree, "var/lib", name))
	if err != nil {
		t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	return owner.Uid, owner.Gid
}

func checkRPM(t *testing.T, rpm string) {
	query := func(what ...string) string {
		return result(t, command(t, "rpm", append([]string{"-qp", "--nosignature"}, append(what, rpm)...)...))
	}
	wantText(t, query("-l"), "/usr/bin/pushgateway", "/usr/bin/prometheus-pushgateway",
		"/usr/lib/systemd/system/pushgateway.service", "/usr/share/man/man1/pushgateway.1")
	wantText(t, query("--provides"), "prometheus-pushgateway")
	wantText(t, query("--conflicts"), "prometheus-pushgateway")
	wantText(t, query("--scripts"), "/var/lib/prometheus")
	unpack := command(t, "sh", "-c", "rpm2cpio "+rpm+" | cpio -i --quiet --to-stdout '*/usr/bin/pushgateway' > pushgateway")
	unpack.Dir = t.TempDir()
	result(t, unpack)
	got, err := os.ReadFile(filepath.Join(unpack.Dir, "pushgateway"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(got, []byte("\x7fELF")) {
		t.Error("the package's program is none")
	}
}
