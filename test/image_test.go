package test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// imageUser is the user and group of the image, which has no permissions anywhere.
const imageUser = 65534

// imageConfig describes how to start an image.
type imageConfig struct {
	User         string
	Entrypoint   []string
	WorkingDir   string
	ExposedPorts map[string]struct{}
	Volumes      map[string]struct{}
	Labels       map[string]string
	Env          []string
	Healthcheck  struct {
		Test              []string
		Interval, Timeout time.Duration
	}
}

// builder builds images without network, in a storage of its own.
type builder struct {
	dir string   // of the storage, and of what make image builds
	env []string // of its commands
}

func newBuilder(t *testing.T) *builder {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("run this test as root: it builds images and runs them")
	}
	b := &builder{dir: t.TempDir(), env: []string{"GOPROXY=off"}}
	b.env = append(b.env, "IMAGE_DIR="+b.dir)
	b.setFile(t, "CONTAINERS_STORAGE_CONF", fmt.Sprintf("[storage]\ndriver = \"vfs\"\ngraphroot = %q\nrunroot = %q\n",
		filepath.Join(b.dir, "graph"), filepath.Join(b.dir, "run")))
	return b
}

// setFile writes a file and names it in a variable of the environment.
func (b *builder) setFile(t *testing.T, variable, content string) {
	t.Helper()
	name := filepath.Join(b.dir, variable)
	writeFile(t, name, []byte(content))
	b.env = append(b.env, variable+"="+name)
}

// run runs a command and returns its output.
func (b *builder) run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := command(t, name, args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), b.env...)
	return result(t, cmd)
}

// inspectedImage is what buildah knows of an image.
type inspectedImage struct {
	FromImageID     string // checksum of the configuration
	FromImageDigest string // checksum of the manifest
	Docker          struct {
		Architecture string
		Config       imageConfig
	}
}

func (b *builder) inspect(t *testing.T, name string) inspectedImage {
	t.Helper()
	var inspected inspectedImage
	text := b.run(t, "buildah", "inspect", "--type", "image", name)
	if err := json.Unmarshal([]byte(text), &inspected); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return inspected
}

func TestImage(t *testing.T) {
	t.Parallel()
	b := newBuilder(t)
	const name = "localhost/pushgateway:test"
	// What both pages say builds the image and starts it; here, the gateway only says its version.
	_, code := readme.block(t, "run", "image")
	if _, again := installPage.block(t, "run", "image"); again != code {
		t.Errorf("%s says %s, but %s says %s", readme, code, installPage, again)
	}
	wantText(t, b.run(t, "env", "IMAGE_TOOL=buildah", "IMAGE="+name, "RUN_FLAGS=--version",
		"sh", "-e", "-c", "exec 2>&1\n"+code), "pushgateway, version ")
	// The vfs driver stores a container's files in a plain directory.
	rootfs := b.run(t, "buildah", "mount", b.run(t, "buildah", "from", name))
	config := b.inspect(t, name).Docker.Config
	if want := fmt.Sprintf("%d:%[1]d", imageUser); config.User != want {
		t.Errorf("user %q, want %q", config.User, want)
	}
	if _, ok := config.ExposedPorts["9091/tcp"]; !ok {
		t.Errorf("exposed ports %v, want 9091/tcp", config.ExposedPorts)
	}

	// The default data directory is a volume that the image's user owns.
	data := filepath.Join(config.WorkingDir, "data")
	if _, ok := config.Volumes[data]; !ok {
		t.Errorf("volumes %v, want %s", config.Volumes, data)
	}
	info, err := os.Stat(filepath.Join(rootfs, data))
	if err != nil {
		t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	if owner.Uid != imageUser || owner.Gid != imageUser || info.Mode().Perm() != 0o777 {
		t.Errorf("%s belongs to %d:%d, mode %v; want %d, 0777", data, owner.Uid, owner.Gid, info.Mode(), imageUser)
	}

	const prefix = "org.opencontainers.image."
	for _, label := range []string{"title", "description", "version", "revision", "created", "licenses"} {
		if config.Labels[prefix+label] == "" {
			t.Errorf("no label %s", label)
		}
	}
	wantText(t, strings.Join(config.Healthcheck.Test, " "), config.Entrypoint[0]+" healthcheck")

	inside := func(user uint32, args ...string) *exec.Cmd {
		args = append(config.Entrypoint[1:], args...)
		cmd := exec.Command(config.Entrypoint[0], args...)
		cmd.Dir = config.WorkingDir
		cmd.Env = []string{}
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Chroot:     rootfs,
			Credential: &syscall.Credential{Uid: user, Gid: user},
		}
		return cmd
	}
	version, err := os.ReadFile(filepath.Join(root, "VERSION"))
	if err != nil {
		t.Fatal(err)
	}
	out, _ := runToEnd(t, inside(imageUser, "--version"))
	wantText(t, out, "pushgateway, version "+strings.TrimSpace(string(version))+" ")

	// Any other user will do: clusters choose one at random. One file of another user is no
	// obstacle to the next, as the volume is another.
	for _, user := range []uint32{1_000_680_000, imageUser} {
		p := launch(t, inside(user, "--web.listen-address=127.0.0.1:0", fmt.Sprintf("--persistence.file=data/of-%d.db", user)))
		until(t, "the file of the image is loaded", func() bool { return p.do(t, http.MethodGet, "/-/ready", "").status == http.StatusOK })
		p.push(t, http.MethodPut, "/metrics/job/contained", "m 1\n")
		wantText(t, p.pushed(t), `m{instance="",job="contained"} 1`)

		// What follows CMD in the Dockerfile, with the address of this test's gateway.
		check := config.Healthcheck.Test
		if len(check) < 3 || check[0] != "CMD" || check[1] != config.Entrypoint[0] {
			t.Fatalf("health check %q", check)
		}
		healthy := inside(user, append(check[2:], "--url="+p.URL)...)
		if out, code := runToEnd(t, healthy); code != 0 {
			t.Errorf("health check: exit code %d\n%s", code, out)
		}
	}
}

const installPage document = "docs/INSTALL.md"

// TestRunImageDocker: make run-image runs docker as the page says.
func TestRunImageDocker(t *testing.T) {
	t.Parallel()
	_, line := installPage.block(t, "run", "docker")
	cmd := command(t, "make", "--no-print-directory", "-n", "run-image", "IMAGE_TOOL=docker")
	cmd.Dir = root
	if got := strings.Join(strings.Fields(result(t, cmd)), " "); !strings.HasSuffix(got, strings.TrimSpace(line)) {
		t.Errorf("make run-image runs %s, want %s", got, line)
	}
}

// TestImageSameBytes: two checkouts of one commit give the same image, whoever builds it where.
func TestImageSameBytes(t *testing.T) {
	t.Parallel()
	b := newBuilder(t)
	dir := t.TempDir()
	var archives [][]byte
	var images []inspectedImage
	for i, settings := range []string{"umask 022; export TZ=UTC", "umask 077; export TZ=Asia/Tokyo LANG=C.UTF-8"} {
		clone, name := filepath.Join(dir, fmt.Sprint("clone-", i)), fmt.Sprint("localhost/pushgateway:clone-", i)
		b.run(t, "git", "clone", "-q", ".", clone)
		b.run(t, "sh", "-e", "-c", settings+`; unset IMAGE_DIR; exec make -C "$0" image IMAGE_TOOL=buildah "IMAGE=$1"`, clone, name)
		archives = append(archives, readFile(t, filepath.Join(clone, "dist", "build", "image-"+runtime.GOARCH, "image.tar")))
		images = append(images, b.inspect(t, name))
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("the archives differ")
	}
	if !reflect.DeepEqual(images[0], images[1]) {
		t.Errorf("the images differ: %+v and %+v", images[0], images[1])
	}
	if sum := fmt.Sprintf("%x", sha256.Sum256(archivedFile(t, archives[0], "config.json"))); images[0].FromImageID != sum {
		t.Errorf("the image's ID is %s, want %s", images[0].FromImageID, sum)
	}
}

// archivedFile returns a file of a tar archive.
func archivedFile(t *testing.T, archive []byte, name string) []byte {
	t.Helper()
	r := tar.NewReader(bytes.NewReader(archive))
	for {
		header, err := r.Next()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if header.Name != name {
			continue
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
}

// TestDockerfile: who builds the Dockerfile with a builder gets the image that make image writes.
func TestDockerfile(t *testing.T) {
	t.Parallel()
	b := newBuilder(t)
	const written, built = "localhost/pushgateway:written", "localhost/pushgateway:built"
	b.run(t, "make", "build", "image", "IMAGE_TOOL=buildah", "IMAGE="+written)
	b.run(t, "buildah", "build", "--format=docker", "--tag="+built, ".")
	want, got := b.inspect(t, written).Docker, b.inspect(t, built).Docker
	want.Config.Labels, got.Config.Labels = nil, nil // make image sets them
	if !reflect.DeepEqual(want, got) {
		t.Errorf("a builder gives\n%+v\nbut make image gives\n%+v", got, want)
	}
	if want, got := b.files(t, written), b.files(t, built); want != got {
		t.Errorf("a builder gives\n%s\nbut make image gives\n%s", got, want)
	}
}

// files lists the files of an image, with modes, owners and, for files, checksums.
func (b *builder) files(t *testing.T, name string) string {
	t.Helper()
	rootfs := b.run(t, "buildah", "mount", b.run(t, "buildah", "from", name))
	return b.run(t, "sh", "-e", "-c", `
		cd "$0"
		find . -mindepth 1 -printf '%p %M %U:%G\n' | sort
		find . -type f -exec sha256sum {} +`, rootfs)
}

// TestImages builds an image for a processor that is not that of this machine.
func TestImages(t *testing.T) {
	t.Parallel()
	b := newBuilder(t)
	const name = "localhost/pushgateway:many"
	b.run(t, "make", "images", "IMAGE_TOOL=buildah", "IMAGE="+name, "IMAGE_PLATFORMS=arm/v7")
	var list struct {
		Manifests []struct {
			Platform struct{ OS, Architecture, Variant string }
		}
	}
	text := b.run(t, "buildah", "manifest", "inspect", name)
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	var found []string
	for _, m := range list.Manifests {
		found = append(found, m.Platform.OS+"/"+m.Platform.Architecture+m.Platform.Variant)
	}
	if want := []string{"linux/armv7"}; !slices.Equal(found, want) {
		t.Errorf("%q, want %q", found, want)
	}
}
