//go:build !race

package web

// slowness is by how much tests of speed are to be patient.
const slowness = 1
