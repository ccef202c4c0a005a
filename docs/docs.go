// Package docs holds the documents of this folder, which the gateway serves, so that they
// are those of its version and can be read without another network.
package docs

import "embed"

// Files are the documents.
//
//go:embed *.md openapi.yaml
var Files embed.FS
