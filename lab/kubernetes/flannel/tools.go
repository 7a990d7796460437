//go:build tools

// Package flannel keeps the modules of programs that are built as they are.
package flannel

import (
	_ "github.com/flannel-io/flannel"
)
