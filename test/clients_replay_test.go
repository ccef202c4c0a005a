package test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestClientsReplay sends the recorded requests of clients that may not be there. With
// -update and a Java, it records those of Java.
func TestClientsReplay(t *testing.T) {
	t.Parallel()
	for _, task := range clientTasks {
		for _, client := range task.replays {
			name := task.name + "-" + client
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				_, code := clientExamples.block(t, "replay", name)
				file := filepath.Join("testdata", "clients", name+".http")
				example := fmt.Sprintf("# Requests of the example with the SHA-256 %x\n", sha256.Sum256([]byte(code)))
				if *update && client == "java" {
					p := task.begin(t)
					requests := recordJava(t, p, code)
					task.end(t, p, client)
					writeFile(t, file, append([]byte(example), requests...))
				}
				requests, current := bytes.CutPrefix(readFile(t, file), []byte(example))
				if !current {
					t.Fatalf("%s has the requests of another example: record them again, see testdata/clients/README.md; "+
						"its first line must be\n%s", file, example)
				}
				p := task.begin(t)
				replay(t, p, requests)
				task.end(t, p, client)
			})
		}
	}
}

// replay sends the requests over one connection. Each must succeed.
func replay(t *testing.T, p *program, requests []byte) {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(requests); err != nil {
		t.Fatal(err)
	}
	sent, answers := bufio.NewReader(bytes.NewReader(requests)), bufio.NewReader(conn)
	for {
		request, err := http.ReadRequest(sent)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, request.Body); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(answers, request)
		for err == nil && response.StatusCode == http.StatusContinue {
			response, err = http.ReadResponse(answers, request)
		}
		if err != nil {
			t.Fatalf("%s %s: %v", request.Method, request.URL, err)
		}
		text, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode/100 != 2 {
			t.Errorf("%s %s: %s %s %v", request.Method, request.URL, response.Status, text, err)
		}
	}
}

// recordJava runs a Java program, and returns the requests that it sends to the gateway, with
// the address that the page names.
func recordJava(t *testing.T, p *program, code string) []byte {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var requests bytes.Buffer
	var open sync.WaitGroup
	open.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return // closed below
			}
			gateway, err := net.Dial("tcp", p.Addr)
			if err != nil {
				t.Error(err)
				return
			}
			open.Go(func() {
				_, _ = io.Copy(client, gateway)
			})
			// One connection after another, since its requests must not mix with others'.
			_, _ = io.Copy(io.MultiWriter(gateway, &requests), client)
			_ = gateway.Close()
			_ = client.Close()
		}
	})
	source := filepath.Join(t.TempDir(), "Backup.java")
	addr := listener.Addr().String()
	writeFile(t, source, []byte(strings.ReplaceAll(code, printedAddr, addr)))
	result(t, command(t, "java", source))
	_ = listener.Close()
	open.Wait()
	return bytes.ReplaceAll(requests.Bytes(), []byte(addr), []byte(printedAddr))
}
