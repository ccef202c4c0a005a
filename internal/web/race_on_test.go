//go:build race

package web

const slowness = 20
