//go:build tools

// Package helm keeps the modules of programs that are built as they are.
package helm

import (
	_ "helm.sh/helm/v3/cmd/helm"
)
