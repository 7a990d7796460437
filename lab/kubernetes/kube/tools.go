//go:build tools

// Package kube keeps the modules of programs that are built as they are.
package kube

import (
	_ "k8s.io/kubernetes/cmd/kubectl"
	_ "k8s.io/kubernetes/test/images/agnhost"
)
