// Command shop runs, breaks, checks and shows the eventshop. `shop help` lists its commands.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	"eventshop.example/cmd/shop/internal/cli"
	"eventshop.example/cmd/shop/internal/term"
)

func main() {
	out, errOut := term.New(os.Stdout, os.Stderr, os.Getenv)
	ctx, stopped := listen(context.Background(), out.Broken(), errOut.Broken())
	err := cli.Root(out, errOut).ExecuteContext(ctx)
	first, unread := stopped()
	code, message := outcome(err, first, unread)
	if message != "" {
		fmt.Fprintln(errOut, term.Paint(errOut, term.Red, "shop:"), message)
	}
	os.Exit(code)
}

// signalled is the number that a shell adds to the signal that ended a program.
const signalled = 128

// outcome returns the exit code and the message of the program, given a command's error, the signal
// that stopped it (0 for none), and whether its output is no longer read. A command that cleans up
// after a signal without an error has succeeded.
func outcome(err error, s syscall.Signal, unread bool) (code int, message string) {
	switch {
	case err == nil && (s != 0 || !unread):
		return 0, ""
	case unread: // the reader of the output has closed it
		return signalled + int(syscall.SIGPIPE), ""
	case s == 0:
		return 1, err.Error()
	case errors.Is(err, context.Canceled):
		return signalled + int(s), "interrupted"
	}
	// A program that the command called may have been ended by the signal too, with its own error.
	return signalled + int(s), "interrupted: " + err.Error()
}

// listen returns a context that ends with the first event after which a command has to clean up:
// Ctrl-C, SIGTERM, a closed terminal, or an output that is no longer read, as in `shop demo |
// head`. stopped returns the signal (0 for none), and whether an output is no longer read.
func listen(ctx context.Context, broken ...<-chan struct{}) (_ context.Context, stopped func() (syscall.Signal, bool)) {
	// With a channel registered for SIGPIPE, a write to a closed pipe returns an error instead of
	// ending the program. The signal itself is ignored: a closed connection causes it too.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as by nohup
		signals = append(signals, syscall.SIGHUP)
	}
	came := make(chan os.Signal, 1)
	signal.Notify(came, signals...)
	ctx, cancel := context.WithCancel(ctx)
	var first atomic.Int32
	go func() {
		first.Store(int32((<-came).(syscall.Signal)))
		cancel()
	}()
	for _, output := range broken {
		go func() { <-output; cancel() }()
	}
	return ctx, func() (syscall.Signal, bool) {
		unread := false
		for _, output := range broken {
			select {
			case <-output:
				unread = true
			default:
			}
		}
		return syscall.Signal(first.Load()), unread
	}
}
