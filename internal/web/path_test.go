package web

import (
	"net/url"
	"strings"
	"testing"

	"pushgateway/internal/metric"
)

func TestParseGroupPath(t *testing.T) {
	for _, c := range []struct{ path, want string }{
		{"/metrics/job/a", `{job="a"}`},
		{"/metrics/job/a/", `{job="a"}`},
		{"/metrics/job/a/instance/b", `{instance="b",job="a"}`},
		{"/metrics/job/a/z/1/b/2", `{b="2",job="a",z="1"}`},
		{"/metrics/job/a/l/1/l/2", `{job="a",l="2"}`},
		{"/metrics/job/a/job/b", `{job="a"}`},
		{"/metrics/job/a/l/", `{job="a",l=""}`},
		{"/metrics/job/a/l@base64/=", `{job="a",l=""}`},
		{"/metrics/job/a/l@base64/", `{job="a",l=""}`},
		{"/metrics/job/a/path@base64/L3Zhci90bXA", `{job="a",path="/var/tmp"}`},
		{"/metrics/job/a/path@base64/L3Zhci90bXA=", `{job="a",path="/var/tmp"}`},
		{"/metrics/job@base64/dGVzdC9qb2I=", `{job="test/job"}`},
		{"/metrics/job/a/name/Προ", `{job="a",name="Προ"}`},
		{"/metrics/job/a/U__foo_2e_bar/x", `{U__foo_2e_bar="x",job="a"}`},
	} {
		if key, err := parseGroupPath(c.path, metric.LegacyValidation); err != nil || key.String() != c.want {
			t.Errorf("%s: got %s, %v, want %s", c.path, key, err, c.want)
		}
	}
	if key, err := parseGroupPath("/metrics/job/a/U__foo_2e_bar@base64/YmF6", metric.UTF8Validation); err != nil || key.String() != `{"foo.bar"="baz",job="a"}` {
		t.Errorf("UTF-8: got %s, %v", key, err)
	}
}

func TestRejectedGroupPaths(t *testing.T) {
	for _, c := range []struct{ path, want string }{
		{"/metrics/job/", "the job name is missing"},
		{"/metrics/job@base64/=", "the job name is missing"},
		{"/metrics/job@base64/!!", "not base64"},
		{"/metrics/job/a/l", "for an empty one write l@base64/="},
		{"/metrics/job/a/path/var/tmp", "path@base64/dmFyL3RtcA"},
		{"/metrics/job/a/path//var/tmp", "path@base64"},
		{"/metrics/job/a/l//m/x", "write l@base64/= instead"},
		{"/metrics/job/a/__x/y", "reserved"},
		{"/metrics/job/a/bad-label/y", `"bad-label"`},
		{"/metrics/job/a/l@base64/!!", "not base64"},
		{"/metrics/job/a/l@base64/_w", "not valid UTF-8"},
		{"/metrics/job/\xff", "not valid UTF-8"},
	} {
		_, err := parseGroupPath(c.path, metric.LegacyValidation)
		if err == nil || !strings.Contains(err.Error(), c.want) || reasonOf(err) != metric.BadPath {
			t.Errorf("%s: got %v, want it to say %q", c.path, err, c.want)
		}
	}
}

// FuzzGroupPath finds the key of a path again by the path of that key.
func FuzzGroupPath(f *testing.F) {
	for _, path := range []string{"a", "a/l/v", "a/l@base64/=", "a/l@base64/L3Zhci90bXA", "a/U__foo_2e_bar/x", "a/l//m/x", "../x/.", "%2e", "a/l/ü+ \x00"} {
		f.Add(path, true, false)
		f.Add(path, false, true)
	}
	f.Fuzz(func(t *testing.T, rest string, encodedJob, utf8Names bool) {
		prefix, names := jobPath, metric.LegacyValidation
		if encodedJob {
			prefix = jobBase64Path
		}
		if utf8Names {
			names = metric.UTF8Validation
		}
		key, err := parseGroupPath(prefix+rest, names)
		if err != nil {
			if reasonOf(err) != metric.BadPath {
				t.Fatalf("%q: %v", rest, err)
			}
			return
		}
		path, err := url.PathUnescape(key.Path())
		if err != nil {
			t.Fatal(err)
		}
		if again, err := parseGroupPath(path, names); err != nil || again.ID() != key.ID() {
			t.Fatalf("%q is %s with the path %s, which is %s, %v", rest, key, key.Path(), again, err)
		}
	})
}
