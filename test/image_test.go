package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
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
}

// image builds the image without network. It returns its file system and its config.
func image(t *testing.T) (rootfs string, config imageConfig) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("run this test as root: it builds an image and enters it as the image's user")
	}
	dir := t.TempDir()
	storage := filepath.Join(dir, "storage.conf")
	settings := fmt.Sprintf("[storage]\ndriver = \"vfs\"\ngraphroot = %q\nrunroot = %q\n",
		filepath.Join(dir, "graph"), filepath.Join(dir, "run"))
	if err := os.WriteFile(storage, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(name string, args ...string) string {
		cmd := command(t, name, args...)
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "CONTAINERS_STORAGE_CONF="+storage, "GOPROXY=off")
		return result(t, cmd)
	}

	const name = "localhost/pushgateway:test"
	run("make", "image", "IMAGE_TOOL=buildah", "IMAGE="+name)
	// The vfs driver stores a container's files in a plain directory.
	rootfs = run("buildah", "mount", run("buildah", "from", name))
	var inspected struct {
		OCIv1 struct{ Config imageConfig }
	}
	text := run("buildah", "inspect", "--type", "image", name)
	if err := json.Unmarshal([]byte(text), &inspected); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return rootfs, inspected.OCIv1.Config
}

func TestImage(t *testing.T) {
	t.Parallel()
	rootfs, config := image(t)
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
	if owner.Uid != imageUser || owner.Gid != imageUser || info.Mode().Perm() != 0o755 {
		t.Errorf("%s belongs to %d:%d, mode %v; want %d, 0755", data, owner.Uid, owner.Gid, info.Mode(), imageUser)
	}

	inside := func(args ...string) *exec.Cmd {
		args = append(config.Entrypoint[1:], args...)
		cmd := exec.Command(config.Entrypoint[0], args...)
		cmd.Dir = config.WorkingDir
		cmd.Env = []string{}
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Chroot:     rootfs,
			Credential: &syscall.Credential{Uid: imageUser, Gid: imageUser},
		}
		return cmd
	}
	version, err := os.ReadFile(filepath.Join(root, "VERSION"))
	if err != nil {
		t.Fatal(err)
	}
	out, _ := runToEnd(t, inside("--version"))
	wantText(t, out, "pushgateway, version "+strings.TrimSpace(string(version))+" ")

	p := launch(t, inside("--web.listen-address=127.0.0.1:0"))
	until(t, "the file of the image is loaded", func() bool { return p.do(t, http.MethodGet, "/-/ready", "").status == http.StatusOK })
	if out, code := runToEnd(t, inside("healthcheck", "--ready", "--url="+p.URL)); code != 0 || out != "ready\n" {
		t.Errorf("healthcheck in the image: exit code %d, printed %s", code, out)
	}
	p.push(t, http.MethodPut, "/metrics/job/contained", "m 1\n")
	wantText(t, p.pushed(t), `m{instance="",job="contained"} 1`)
}
