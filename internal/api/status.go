package api

import (
	"encoding/json"
	"io"
	"time"
)

// Status describes the gateway.
type Status struct {
	Build   Build             `json:"build_information"`
	Flags   map[string]string `json:"flags"` // all flags, by name
	Started time.Time         `json:"start_time"`
	Storage Storage           `json:"storage"`
	// Replicas is nil if no database is shared.
	Replicas *Replicas `json:"replicas,omitempty"`
}

// Build describes how the program was built.
type Build struct {
	Branch    string `json:"branch"`
	Date      string `json:"buildDate"`
	User      string `json:"buildUser"`
	GoVersion string `json:"goVersion"`
	Revision  string `json:"revision"`
	Version   string `json:"version"`
}

// WriteStatus writes the answer to GET /api/v1/status.
func WriteStatus(w io.Writer, s Status) error {
	s.Started = s.Started.UTC()
	body, err := json.Marshal(struct {
		Status string `json:"status"`
		Data   Status `json:"data"`
	}{"success", s})
	if err != nil {
		return err
	}
	_, err = w.Write(body)
	return err
}
