//go:build tools

// Package multus keeps the modules of programs that are built as they are.
package multus

import (
	_ "gopkg.in/k8snetworkplumbingwg/multus-cni.v4/cmd/multus"
)
