//go:build tools

// Package tools names the programs that the tests build from source.
package tools

import (
	_ "github.com/opencontainers/runc"
)
