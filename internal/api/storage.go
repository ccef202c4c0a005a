package api

import "time"

// Storage is where groups are persisted.
type Storage struct {
	Durable    bool      `json:"durable"` // changes are persisted in the file or the database
	File       string    `json:"file,omitempty"`
	Database   string    `json:"database,omitempty"` // its URL without password
	Sync       string    `json:"sync,omitempty"`     // push or interval
	SizeBytes  int64     `json:"size_bytes,omitempty"`
	LastCommit time.Time `json:"last_commit,omitzero"`
	Pending    int       `json:"pending_groups,omitempty"` // changed since the last commit
	Error      string    `json:"error,omitempty"`          // why changes are not persisted
	Warning    string    `json:"warning,omitempty"`        // what can lose persisted changes
}
