package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"strconv"
	"strings"
	"time"
)

// defaultPath is in the environment of all images that start from scratch.
const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// recipe is what a Dockerfile says.
type recipe struct {
	copies []copied
	config config
}

// copied is a file or folder that is copied into an image.
type copied struct {
	from, to string
	uid, gid int
}

// parseDockerfile reads a Dockerfile that copies files into an empty image. Each instruction
// must fit on a line. Instructions that run programs have no meaning there and are errors, as are
// the ones that this image does not need.
func parseDockerfile(text string, args pairs) (*recipe, error) {
	r := &recipe{config: config{
		Env: []string{defaultPath}, ExposedPorts: map[string]struct{}{}, Volumes: map[string]struct{}{},
	}}
	variables := pairs{}
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := r.add(line, variables, args); err != nil {
			return nil, fmt.Errorf("line %d of the Dockerfile: %w", number, err)
		}
	}
	for name := range maps.Keys(args) {
		if _, ok := variables[name]; !ok {
			return nil, fmt.Errorf("the Dockerfile has no ARG %s", name)
		}
	}
	return r, nil
}

// add adds what an instruction says.
func (r *recipe) add(line string, variables, args pairs) error {
	name, rest, _ := strings.Cut(line, " ")
	rest = os.Expand(strings.TrimSpace(rest), func(variable string) string { return variables[variable] })
	switch name {
	case "FROM":
		if rest != "scratch" {
			return fmt.Errorf("the image starts from %s, not from scratch", rest)
		}
	case "ARG":
		if err := variables.Set(rest); err != nil {
			return err
		}
		variable, _, _ := strings.Cut(rest, "=")
		if value, ok := args[variable]; ok {
			variables[variable] = value
		}
	case "COPY":
		c, err := parseCopy(rest)
		if err != nil {
			return err
		}
		r.copies = append(r.copies, c)
	case "WORKDIR":
		r.config.WorkingDir = rest
	case "VOLUME":
		r.config.Volumes[rest] = struct{}{}
	case "USER":
		r.config.User = rest
	case "EXPOSE":
		r.config.ExposedPorts[rest+"/tcp"] = struct{}{}
	case "HEALTHCHECK":
		check, err := parseHealthcheck(rest)
		if err != nil {
			return err
		}
		r.config.Healthcheck = check
	case "ENTRYPOINT":
		return json.Unmarshal([]byte(rest), &r.config.Entrypoint)
	default:
		return fmt.Errorf("the instruction %s is not supported here; build with docker, podman or buildah", name)
	}
	return nil
}

// parseCopy parses [--chown=UID:GID] FROM TO.
func parseCopy(text string) (c copied, err error) {
	fields := strings.Fields(text)
	if len(fields) > 0 {
		if owner, ok := strings.CutPrefix(fields[0], "--chown="); ok {
			if _, err := fmt.Sscanf(owner, "%d:%d", &c.uid, &c.gid); err != nil {
				return c, fmt.Errorf("owner %q is not of the form UID:GID", owner)
			}
			fields = fields[1:]
		}
	}
	if len(fields) != 2 || !path.IsAbs(fields[1]) {
		return c, fmt.Errorf("COPY %s is not of the form [--chown=UID:GID] FROM /TO", text)
	}
	c.from, c.to = fields[0], path.Clean(fields[1])
	return c, nil
}

// parseHealthcheck parses [--interval=DURATION] [--timeout=DURATION] CMD ["PROGRAM", ...].
func parseHealthcheck(text string) (*healthcheck, error) {
	options, command, ok := strings.Cut(text, "CMD ")
	if !ok {
		return nil, fmt.Errorf("HEALTHCHECK %s has no CMD", text)
	}
	var program []string
	if err := json.Unmarshal([]byte(command), &program); err != nil {
		return nil, fmt.Errorf("CMD %s is not a list: %w", command, err)
	}
	check := &healthcheck{Test: append([]string{"CMD"}, program...)}
	targets := map[string]*time.Duration{"--interval": &check.Interval, "--timeout": &check.Timeout}
	for option := range strings.FieldsSeq(options) {
		name, value, _ := strings.Cut(option, "=")
		target, ok := targets[name]
		if !ok {
			return nil, fmt.Errorf("unknown option %s", name)
		}
		d, err := time.ParseDuration(value)
		if err != nil {
			return nil, err
		}
		*target = d
	}
	return check, nil
}

// platform is that of an image.
type platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant,omitempty"`
}

// parsePlatform parses a name such as linux/amd64 or linux/arm/v7.
func parsePlatform(name string) (p platform, err error) {
	parts := strings.Split(name, "/")
	if len(parts) < 2 || len(parts) > 3 {
		return p, fmt.Errorf("platform %s is not of the form OS/ARCHITECTURE[/VARIANT]", strconv.Quote(name))
	}
	p.OS, p.Architecture = parts[0], parts[1]
	if len(parts) == 3 {
		p.Variant = parts[2]
	}
	return p, nil
}
