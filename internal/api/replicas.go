package api

import "time"

// Replicas are the gateways that share a database.
type Replicas struct {
	Name        string    `json:"name"`     // of the gateway that answers
	Sequence    int64     `json:"sequence"` // of the last commit of all
	LastContact time.Time `json:"last_contact,omitzero"`
	ClockSkew   float64   `json:"clock_skew_seconds"` // how far the database's clock is ahead
	All         []Replica `json:"replicas"`
}

// Replica is one of the gateways that share a database.
type Replica struct {
	Name       string    `json:"name"`
	Version    string    `json:"version"`
	Self       bool      `json:"self"`           // it is the gateway that answers
	Live       bool      `json:"live"`           // it was heard of lately
	Sequence   int64     `json:"sequence"`       // of the last commit that it has
	Behind     int64     `json:"behind_commits"` // how many commits it lacked then
	Started    time.Time `json:"start_time"`
	Heartbeat  time.Time `json:"last_heartbeat"`
	OtherRules bool      `json:"other_rules"` // its rules file is not that of the gateway that answers
	OtherAuth  bool      `json:"other_auth"`  // nor is its auth file
}
