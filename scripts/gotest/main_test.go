package main

import (
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	const events = `{"Action":"output","Package":"a","Test":"TestGood","Output":"quiet\n"}
{"Action":"pass","Package":"a","Test":"TestGood"}
{"Action":"output","Package":"a","Output":"PASS\n"}
{"Action":"output","Package":"a","Output":"ok  a 1s\n"}
{"Action":"pass","Package":"a"}
{"Action":"output","Package":"b","Test":"TestBad","Output":"bad\n"}
{"Action":"fail","Package":"b","Test":"TestBad"}
{"Action":"output","Package":"b","Test":"TestCutOff","Output":"cut off\n"}
{"Action":"output","Package":"b","Output":"FAIL b\n"}
{"Action":"fail","Package":"b"}
{"Action":"build-output","ImportPath":"c","Output":"c.go:1: wrong\n"}
`
	const want = "ok  a 1s\nbad\ncut off\nFAIL b\nc.go:1: wrong\n"

	var out strings.Builder
	r := report{w: &out, said: map[test]*strings.Builder{}}
	if err := r.read(strings.NewReader(events)); err != nil {
		t.Fatal(err)
	}
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
	if r.passed != 1 || r.failed != 2 || r.failedPackages != 1 {
		t.Errorf("%d passed, %d failed, %d packages failed; want 1, 2, 1", r.passed, r.failed, r.failedPackages)
	}
}
