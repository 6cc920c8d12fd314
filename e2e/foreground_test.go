package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"eventshop.example/ops/eventshop"
)

// transcript is the output of a running command.
type transcript struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *transcript) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *transcript) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.buf.String(), text)
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// ownStack is a stack that the test starts itself, in its own folder.
func ownStack(t *testing.T) *stack {
	t.Helper()
	// If SIGHUP is ignored, as under nohup, the commands would inherit that.
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(hangup) })
	if kind, err := kindOfStack(); err != nil || kind != "embedded" {
		t.Skip("the command in the foreground is the same on every stack: tested on the embedded one")
	}
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // for the database server's user
		t.Fatal(err)
	}
	s := &stack{shop: common.shop, dir: filepath.Join(dir, "state")}
	t.Cleanup(s.gone)
	return s
}

// foreground starts a shop command that runs until it is ended.
func (s *stack) foreground(t *testing.T, out io.Writer, args ...string) *exec.Cmd {
	t.Helper()
	cmd := s.shopCommand(t, args...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// shopCommand returns a shop command that is not started yet.
func (s *stack) shopCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), s.shop, append(args, "--state", s.dir)...)
	cmd.Dir = root
	return cmd
}

// ended waits for a command. It kills the command after the maximum time of a shop's stop.
func ended(cmd *exec.Cmd) error {
	kill := time.AfterFunc(2*time.Minute, func() { cmd.Process.Kill() }) //nolint:errcheck // it has ended then
	defer kill.Stop()
	return cmd.Wait()
}

// running returns the running processes of the stack.
func (s *stack) running(t *testing.T) (names []string) {
	t.Helper()
	for l := range strings.Lines(s.must(t, "status")) {
		if f := strings.Fields(l); len(f) > 4 && (f[4] == "ready" || f[4] == "not") {
			names = append(names, f[0])
		}
	}
	return names
}

// processes is how many an embedded shop has: postgres, broker, registry, the outside world and the services.
func processes() int { return 3 + len(eventshop.Outside()) + len(eventshop.Services()) }

// A closed terminal sends SIGHUP to the command in its foreground.
func TestAClosedTerminalStopsTheShopThatItBroughtUp(t *testing.T) {
	s := ownStack(t)
	var out transcript
	first := s.foreground(t, &out, "up", "--ports", "auto")
	eventually(t, 2*time.Minute, "the shop is open", func() bool { return out.has("Ctrl-C stops the shop") })
	if err := s.readState(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{s.URL["order"], s.URL["projection"], s.Kafka[0], "shop settings reset"} {
		if !out.has(want) {
			t.Errorf("shop up does not print %q:\n%s", want, out.String())
		}
	}

	second := s.must(t, "up")
	if !strings.Contains(second, "stays up") || strings.Contains(second, "Ctrl-C") {
		t.Errorf("shop up beside the first says:\n%s", second)
	}
	if n := len(s.running(t)); n != processes() {
		t.Errorf("%d processes run behind the second shop up, want %d", n, processes())
	}

	for _, args := range [][]string{{"--env", "payment.LOG_LEVEL=debug"}, {"--port", "order=9999"}, {"--env", "nope.X=1"}, {"--port", "nope=99"}} {
		if out, err := s.command(append([]string{"up"}, args...)...); err == nil {
			t.Errorf("shop up %s beside a running shop:\n%s", strings.Join(args, " "), out)
		}
	}

	if err := first.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if err := ended(first); err != nil {
		t.Errorf("shop up: %v\n%s", err, out.String())
	}
	if left := s.running(t); len(left) > 0 {
		t.Errorf("left behind: %v\n%s", left, out.String())
	}
	s.closeTheFirstOfTwoTerminals(t)
	s.upWithoutOutput(t)

	// Commands about a stopped shop fail at once and name the command to type.
	for _, args := range [][]string{{"verify"}, {"load"}, {"saga", "list"}, {"dlq", "list"}, {"outbox", "stats"}, {"relay", "show"}} {
		out, err := s.command(args...)
		if err == nil || !strings.Contains(out, s.dir) || !strings.Contains(out, "embedded broker") || !strings.Contains(out, "shop up") {
			t.Errorf("shop %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// closeTheFirstOfTwoTerminals starts shops in two terminals one after the other. The first
// terminal's command stops neither shop, neither when its terminal closes nor when it notices the
// takeover.
func (s *stack) closeTheFirstOfTwoTerminals(t *testing.T) {
	t.Helper()
	var out, noticing transcript
	first := s.foreground(t, &out, "up")
	eventually(t, 2*time.Minute, "the shop is open", func() bool { return out.has("Ctrl-C stops the shop") })
	signal := func(cmd *exec.Cmd, sig syscall.Signal) {
		t.Helper()
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	signal(first, syscall.SIGSTOP) // so that it does not notice before its terminal closes
	s.must(t, "down")
	second := s.foreground(t, &noticing, "up")
	eventually(t, 2*time.Minute, "the shop is open again", func() bool { return noticing.has("Ctrl-C stops the shop") })
	signal(first, syscall.SIGHUP)
	signal(first, syscall.SIGCONT)
	if err := ended(first); err != nil || !out.has("that one stays up") {
		t.Errorf("shop up, whose shop is gone: %v\n%s", err, out.String())
	}
	if n := len(s.running(t)); n != processes() {
		t.Errorf("%d processes run behind the first terminal, want %d\n%s", n, processes(), out.String())
	}
	s.must(t, "down")
	if err := ended(second); err != nil || !noticing.has("Another command has taken the shop down") {
		t.Errorf("shop up, whose shop another command has taken down: %v\n%s", err, noticing.String())
	}
}

// upWithoutOutput checks that the shop is stopped if its addresses cannot be printed.
func (s *stack) upWithoutOutput(t *testing.T) {
	t.Helper()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Log("not tried:", err) // only Linux has it
		return
	}
	defer full.Close()
	var progress transcript
	cmd := s.shopCommand(t, "up")
	cmd.Stdout, cmd.Stderr = full, &progress
	if err := cmd.Run(); err == nil || !progress.has(syscall.ENOSPC.Error()) {
		t.Errorf("shop up with an output that fails: %v\n%s", err, progress.String())
	}
	if left := s.running(t); len(left) > 0 {
		t.Fatalf("left behind: %v\n%s", left, progress.String())
	}
}

// An output that is closed early, as by head, leaves no shop behind.
func TestAnOutputThatIsNotReadStopsTheShop(t *testing.T) {
	s := ownStack(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	cmd := s.foreground(t, w, "up", "--ports", "auto")
	if _, err := r.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	r.Close()
	err = cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 128+int(syscall.SIGPIPE) {
		t.Errorf("shop up: %v", err)
	}
	if b, err := os.ReadFile(filepath.Join(s.dir, "state.json")); err == nil && json.Valid(b) {
		if left := s.running(t); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}
