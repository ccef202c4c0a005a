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

	prepared map[string]effect // statements, by name
	bound    effect            // of the statement that is executed next
	wrote    bool              // the open transaction
}

// effect is what matters of a statement.
type effect struct{ begins, writes, commits bool }

var (
	beginStatement  = regexp.MustCompile(`(?i)(^|;)\s*(begin|start)\b`)
	writeStatement  = regexp.MustCompile(`(?i)\b(insert|update|delete)\b`)
	commitStatement = regexp.MustCompile(`(?i)(^|;)\s*(commit|end)\b`)
)

func effectOf(statement []byte) effect {
	return effect{beginStatement.Match(statement), writeStatement.Match(statement), commitStatement.Match(statement)}
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

// commits reports whether the message of a client makes the server commit something that
// was written.
func (f *frames) commits(m message) bool {
	var e effect
	switch m.kind {
	case 'Q': // a query
		e = effectOf(m.content)
	case 'P': // a statement to prepare: name, query
		name, query, _ := bytes.Cut(m.content, []byte{0})
		if f.prepared == nil {
			f.prepared = map[string]effect{}
		}
		f.prepared[string(name)] = effectOf(query)
	case 'B': // a prepared statement to execute next: portal, name
		_, rest, _ := bytes.Cut(m.content, []byte{0})
		name, _, _ := bytes.Cut(rest, []byte{0})
		f.bound = f.prepared[string(name)]
	case 'E':
		e = f.bound
	}
	f.wrote = f.wrote && !e.begins || e.writes
	commits := f.wrote && e.commits
	f.wrote = f.wrote && !e.commits
	return commits
}

// committed reports whether the message of a server says that it has committed.
func (m message) committed() bool { return m.kind == 'C' && string(m.content) == "COMMIT\x00" }
