// Command pause is the first process of a pod's sandbox: it holds the namespaces and lets the kernel reap orphans.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// Ignored, children that end leave no zombies (wait(2), notes).
	signal.Ignore(syscall.SIGCHLD)
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGINT, syscall.SIGTERM)
	<-end
}
