package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Group describes a group as GET /api/v1/groups does. docs/API.md says what its fields mean.
type Group struct {
	Labels        map[string]string `json:"labels"`
	Path          string            `json:"path"`
	State         string            `json:"state"`
	LastPush      *time.Time        `json:"last_push"`
	LastFailure   *time.Time        `json:"last_failure"`
	LastRejection *Rejection        `json:"last_rejection"`
	Summed        bool              `json:"summed"`
	Expired       bool              `json:"expired"`
	ExpiresAt     *time.Time        `json:"expires_at"`
	Families      int               `json:"families"`
	Series        int               `json:"series"`
	Bytes         int64             `json:"bytes"`
}

// Rejection is the last push to a group that was rejected.
type Rejection struct {
	Time    time.Time `json:"time"`
	Reason  string    `json:"reason"`
	Message string    `json:"message"`
	Source  string    `json:"source"`
	Client  string    `json:"client"`
}

// GroupList is a part of a list of groups.
type GroupList struct {
	Total  int               `json:"total"`  // of the whole list
	States map[string]int    `json:"states"` // how many groups have each state, whatever the state asked for
	Groups []json.RawMessage `json:"groups"` // each a Group
}

// Groups lists up to limit groups from offset on. The query has the parameters of
// GET /api/v1/groups that say which groups, and in which order; it may be nil.
func (c *Client) Groups(ctx context.Context, query url.Values, offset, limit int) (GroupList, error) {
	page := url.Values{"offset": {strconv.Itoa(offset)}, "limit": {strconv.Itoa(limit)}}
	for name, values := range query {
		page[name] = values
	}
	var list GroupList
	return list, c.Call(ctx, http.MethodGet, apiGroups, page, &list)
}

const apiGroups = "/api/v1/groups"

// GroupDetails describes one group.
type GroupDetails struct {
	Group
	Pushes  []RecentPush      `json:"pushes"` // the latest first
	Metrics map[string]Family `json:"metrics"`
}

// RecentPush is a push that the gateway remembers.
type RecentPush struct {
	Time     time.Time `json:"time"`
	Method   string    `json:"method"`
	Bytes    *int64    `json:"bytes"` // nil if unknown
	Accepted bool      `json:"accepted"`
	Replayed bool      `json:"replayed"`
	Reason   string    `json:"reason"`
	Message  string    `json:"message"`
	Source   string    `json:"source"`
	Client   string    `json:"client"`
}

// Family is a metric family of a group.
type Family struct {
	Type    string   `json:"type"`
	Help    string   `json:"help"`
	Metrics []Sample `json:"metrics"`
}

// Sample is one metric. A histogram or summary has a count and a sum instead of a value.
type Sample struct {
	Labels            map[string]string
	Value, Count, Sum string
}

// Show returns the group with a path such as /metrics/job/a, and the JSON that describes it.
func (c *Client) Show(ctx context.Context, path string) (GroupDetails, json.RawMessage, error) {
	var text json.RawMessage
	var group GroupDetails
	err := c.Call(ctx, http.MethodGet, apiGroups+strings.TrimPrefix(path, "/metrics"), nil, &text)
	if err == nil {
		err = json.Unmarshal(text, &group)
	}
	return group, text, err
}

// Deletion says which groups were deleted, or would be.
type Deletion struct {
	Count     int    `json:"count"`
	DryRun    bool   `json:"dry_run"`
	LimitedTo string `json:"limited_to,omitempty"` // the groups that the sender may delete; empty for all
	Groups    []struct {
		Labels   map[string]string `json:"labels"`
		Path     string            `json:"path"`
		LastPush *time.Time        `json:"last_push"`
	} `json:"groups"` // the first of them
}

// DeleteGroups deletes the groups that one of the selectors matches, in one step. If olderThan is
// not empty, it is a duration: groups pushed since then stay. A dry run deletes nothing.
func (c *Client) DeleteGroups(ctx context.Context, selectors []string, olderThan string, dryRun bool) (Deletion, error) {
	query := url.Values{"match[]": selectors, "dry_run": {strconv.FormatBool(dryRun)}}
	if olderThan != "" {
		query.Set("older_than", olderThan)
	}
	var deletion Deletion
	return deletion, c.Call(ctx, http.MethodDelete, apiGroups, query, &deletion)
}
