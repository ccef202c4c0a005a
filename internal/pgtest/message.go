package pgtest

import (
	"bytes"
	"encoding/binary"
	"regexp"
)

// message is one message of PostgreSQL's protocol.
type message struct {
	kind    byte   // 0 for the first message of a client
	content []byte // without kind and length
	all     []byte
}

// frames splits one direction of a connection into messages.
type frames struct {
	startup bool // the next message has no kind
	pending []byte

	commit map[string]bool // prepared statements, by name: whether they commit
}

func (f *frames) add(b []byte) { f.pending = append(f.pending, b...) }

// next returns the next message if all of it has arrived.
func (f *frames) next() (message, bool) {
	var m message
	header := 5
	if f.startup {
		header = 4
	}
	if len(f.pending) < header {
		return m, false
	}
	if !f.startup {
		m.kind = f.pending[0]
	}
	size := header - 4 + int(binary.BigEndian.Uint32(f.pending[header-4:]))
	if len(f.pending) < size {
		return m, false
	}
	m.all = bytes.Clone(f.pending[:size])
	m.content = m.all[header:]
	f.pending = f.pending[size:]
	f.startup = false
	return m, true
}

var commitStatement = regexp.MustCompile(`(?i)(^|;)\s*(commit|end)\b`)

// commits reports whether the message of a client makes the server commit.
func (f *frames) commits(m message) bool {
	switch m.kind {
	case 'Q': // a query
		return commitStatement.Match(m.content)
	case 'P': // a statement to prepare: name, query
		name, query, _ := bytes.Cut(m.content, []byte{0})
		if f.commit == nil {
			f.commit = map[string]bool{}
		}
		f.commit[string(name)] = commitStatement.Match(query)
	case 'B': // a prepared statement to execute: portal, name
		_, rest, _ := bytes.Cut(m.content, []byte{0})
		name, _, _ := bytes.Cut(rest, []byte{0})
		return f.commit[string(name)]
	}
	return false
}

// committed reports whether the message of a server says that it has committed.
func (m message) committed() bool { return m.kind == 'C' && string(m.content) == "COMMIT\x00" }
