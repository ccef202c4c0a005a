// Package pushgateway has what the whole program shares with its build.
package pushgateway

import _ "embed"

// VersionFile is the content of the file VERSION.
//
//go:embed VERSION
var VersionFile string
