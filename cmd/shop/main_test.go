package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"testing"

	"eventshop.example/cmd/shop/internal/term"
)

func TestOutcome(t *testing.T) {
	t.Parallel()
	plain := errors.New("no shop")
	interrupted := fmt.Errorf("build: %w", context.Canceled)
	for _, c := range []struct {
		name    string
		err     error
		signal  syscall.Signal
		unread  bool
		code    int
		message string
	}{
		{"done", nil, 0, false, 0, ""},
		{"failed", plain, 0, false, 1, "no shop"},
		{"cleared up after Ctrl-C", nil, syscall.SIGINT, false, 0, ""},
		{"interrupted", interrupted, syscall.SIGINT, false, 130, "interrupted"},
		{"the terminal closed", interrupted, syscall.SIGHUP, false, 129, "interrupted"},
		{"a program that it calls was interrupted", plain, syscall.SIGINT, false, 130, "interrupted: no shop"},
		{"cancelled without a signal", interrupted, 0, false, 1, "build: context canceled"},
		{"the output is not read", &os.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.EPIPE}, 0, true, 141, ""},
		{"head and Ctrl-C", &os.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.EPIPE}, syscall.SIGINT, true, 141, ""},
		{"cleared up after its terminal closed", nil, syscall.SIGHUP, true, 0, ""},
		{"the output is not read and all is done", nil, 0, true, 141, ""},
		{"a connection broke", &os.SyscallError{Syscall: "write", Err: syscall.EPIPE}, 0, false, 1, "write: broken pipe"},
	} {
		if code, message := outcome(c.err, c.signal, c.unread); code != c.code || message != c.message {
			t.Errorf("%s: %d %q, want %d %q", c.name, code, message, c.code, c.message)
		}
	}
}

// A command that returns at once after a write to a closed pipe always ends because of that write.
func TestAnOutputThatIsNotReadIsNoticedAtOnce(t *testing.T) {
	t.Parallel()
	for range 200 {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		out, errOut := term.New(w, io.Discard, func(string) string { return "" })
		_, stopped := listen(t.Context(), out.Broken(), errOut.Broken())
		if s, unread := stopped(); s != 0 || unread {
			t.Fatalf("before anything is written: %v %t", s, unread)
		}
		if _, err := io.WriteString(out, "line\n"); err == nil {
			t.Fatal("written")
		}
		if s, unread := stopped(); s != 0 || !unread {
			t.Fatalf("after it: %v %t", s, unread)
		}
		w.Close()
	}
}
