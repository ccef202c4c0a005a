package main

import (
	"strings"
	"testing"
)

func TestDockerfileErrors(t *testing.T) {
	for text, want := range map[string]string{
		"FROM debian":                              "line 1 of the Dockerfile: the image starts from debian",
		"# x\n\nRUN ls":                            "line 3 of the Dockerfile: the instruction RUN is not supported",
		"COPY a b /c":                              "not of the form",
		"COPY a b":                                 "not of the form",
		"COPY --chown=me a /b":                     "not of the form UID:GID",
		"COPY --chmod=1 a /b":                      "not of the form",
		"HEALTHCHECK NONE":                         "has no CMD",
		"HEALTHCHECK CMD true":                     "is not a list",
		`HEALTHCHECK --retries=1 CMD ["true"]`:     "unknown option --retries",
		`HEALTHCHECK --interval=soon CMD ["true"]`: "invalid duration",
		"ENTRYPOINT true":                          "cannot unmarshal",
		"ARG A":                                    "not of the form NAME=VALUE",
		"FROM scratch":                             "no ARG BINARY",
		"ARG BINARY=a\nCOPY ${BINARY} /b\nCOPY $x /b": "line 3 of the Dockerfile: COPY  /b",
	} {
		if _, err := parseDockerfile(text, pairs{"BINARY": "x"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	for _, name := range []string{"", "linux", "linux/arm/v7/x"} {
		if _, err := parsePlatform(name); err == nil {
			t.Errorf("no error for the platform %q", name)
		}
	}
}
