package process_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"eventshop.example/local/process"
)

// The test binary is also the program that is run. It creates the file READY and then does what ACT
// says.
func TestMain(m *testing.M) {
	act := os.Getenv("ACT")
	if act == "" {
		os.Exit(m.Run())
	}
	fmt.Println("acting:", act, os.Args[1:])
	stop := make(chan os.Signal, 1)
	switch act {
	case "end":
		fmt.Println("the reason why")
		os.Exit(3)
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		// Without anything to wait for, the runtime would report a deadlock and end it.
		signal.Notify(stop, syscall.SIGUSR1)
	default:
		signal.Notify(stop, syscall.SIGTERM)
	}
	if err := os.WriteFile(os.Getenv("READY"), nil, 0o644); err != nil {
		os.Exit(4)
	}
	<-stop
	fmt.Println("bye")
}

type fixture struct {
	process.Runner
	spec  process.Spec
	ready string
}

func setup(t *testing.T, act string) fixture {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	f := fixture{Runner: process.Runner{Dir: filepath.Join(dir, "run")}, ready: filepath.Join(dir, "ready")}
	f.spec = process.Spec{Name: "prog", Path: exe, Args: []string{"one", "two words"}, Dir: dir,
		Env: []string{"ACT=" + act, "READY=" + f.ready}, Log: filepath.Join(dir, "logs", "prog.log")}
	t.Cleanup(func() { f.Stop(context.Background(), "prog", 0) })
	return f
}

func (f fixture) probe(context.Context) error {
	_, err := os.Stat(f.ready)
	return err
}

func (f fixture) start(t *testing.T) int {
	t.Helper()
	os.Remove(f.ready)
	pid, err := f.Start(f.spec)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := f.AwaitReady(ctx, "prog", f.probe); err != nil {
		t.Fatal(err)
	}
	return pid
}

func (f fixture) want(t *testing.T, state process.State, pid int) {
	t.Helper()
	s, err := f.Status("prog")
	if err != nil {
		t.Fatal(err)
	}
	if s.State != state || s.PID != pid {
		t.Errorf("it is %s with process id %d, want %s with %d", s.State, s.PID, state, pid)
	}
}

func (f fixture) log(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(f.spec.Log)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestLife(t *testing.T) {
	t.Parallel()
	f := setup(t, "wait")
	f.want(t, process.Stopped, 0)
	pid := f.start(t)
	f.want(t, process.Running, pid)
	if _, err := f.Start(f.spec); err == nil || !strings.Contains(err.Error(), fmt.Sprint(pid)) {
		t.Errorf("started twice: %v", err)
	}
	if killed, err := f.Stop(t.Context(), "prog", 10*time.Second); err != nil || killed {
		t.Errorf("stop: killed %v, %v", killed, err)
	}
	f.want(t, process.Stopped, 0)
	if log := f.log(t); !strings.Contains(log, "acting: wait [one two words]\nbye\n") {
		t.Errorf("log:\n%s", log)
	}
	if killed, err := f.Stop(t.Context(), "prog", time.Second); err != nil || killed {
		t.Errorf("stop again: killed %v, %v", killed, err)
	}
}

func TestKilledAndStartedAgain(t *testing.T) {
	t.Parallel()
	f := setup(t, "wait")
	if err := f.Kill(t.Context(), "prog"); !errors.Is(err, process.ErrNotRunning) {
		t.Errorf("kill what never ran: %v", err)
	}
	first := f.start(t)
	if err := f.Kill(t.Context(), "prog"); err != nil {
		t.Fatal(err)
	}
	f.want(t, process.Dead, 0)
	if err := f.Kill(t.Context(), "prog"); !errors.Is(err, process.ErrNotRunning) {
		t.Errorf("kill again: %v", err)
	}
	second := f.start(t)
	if second == first {
		t.Errorf("the same process id %d", first)
	}
	f.want(t, process.Running, second)
}

func TestStubbornProgramIsKilledAfterGrace(t *testing.T) {
	t.Parallel()
	f := setup(t, "stubborn")
	f.start(t)
	killed, err := f.Stop(t.Context(), "prog", 50*time.Millisecond)
	if err != nil || !killed {
		t.Errorf("killed %v, %v", killed, err)
	}
	f.want(t, process.Stopped, 0)
}

func TestPauseResumeAndStopWhilePaused(t *testing.T) {
	t.Parallel()
	f := setup(t, "wait")
	pid := f.start(t)
	await := func(want process.State) {
		t.Helper()
		deadline := time.After(5 * time.Second)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			if s, _ := f.Status("prog"); s.State == want && s.PID == pid {
				return
			}
			select {
			case <-tick.C:
			case <-deadline:
				t.Fatalf("it does not become %s", want)
			}
		}
	}
	for range 2 {
		if err := f.Pause("prog"); err != nil {
			t.Fatal(err)
		}
		await(process.Paused)
		if err := f.Resume("prog"); err != nil {
			t.Fatal(err)
		}
		await(process.Running)
	}
	if err := f.Pause("prog"); err != nil {
		t.Fatal(err)
	}
	if killed, err := f.Stop(t.Context(), "prog", 10*time.Second); err != nil || killed {
		t.Errorf("stop while paused: killed %v, %v", killed, err)
	}
}

func TestEarlyEndShowsTheLog(t *testing.T) {
	t.Parallel()
	f := setup(t, "end")
	if _, err := f.Start(f.spec); err != nil {
		t.Fatal(err)
	}
	err := f.AwaitReady(t.Context(), "prog", f.probe)
	if !errors.Is(err, process.ErrEnded) || !strings.Contains(err.Error(), "the reason why") {
		t.Errorf("got %v", err)
	}
}

func TestNotReadyInTimeShowsReasonAndLog(t *testing.T) {
	t.Parallel()
	f := setup(t, "wait")
	f.start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Millisecond)
	defer cancel()
	err := f.AwaitReady(ctx, "prog", func(context.Context) error { return errors.New("stars are wrong") })
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "stars are wrong") || !strings.Contains(err.Error(), "acting: wait") {
		t.Errorf("got %v", err)
	}
}

// Another process has the process id of the file now: never signal it.
func TestProcessIDGivenToSomebodyElse(t *testing.T) {
	t.Parallel()
	f := setup(t, "wait")
	pid := f.start(t)
	if err := f.Kill(t.Context(), "prog"); err != nil {
		t.Fatal(err)
	}
	stranger := exec.Command("sleep", "60")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { stranger.Process.Kill(); stranger.Wait() }()
	file := filepath.Join(f.Dir, "prog.pid")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	forged := strings.Replace(string(b), fmt.Sprintf(`"pid":%d,`, pid), fmt.Sprintf(`"pid":%d,`, stranger.Process.Pid), 1)
	if err := os.WriteFile(file, []byte(forged), 0o644); err != nil {
		t.Fatal(err)
	}
	f.want(t, process.Dead, 0)
	if err := f.Kill(t.Context(), "prog"); !errors.Is(err, process.ErrNotRunning) {
		t.Errorf("kill: %v", err)
	}
	if _, err := f.Stop(t.Context(), "prog", time.Second); err != nil {
		t.Errorf("stop: %v", err)
	}
	if err := stranger.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the stranger is gone: %v", err)
	}
}

func TestHTTPReadyTellsTheReasons(t *testing.T) {
	t.Parallel()
	body, status := `{"status":"not ready","checks":{"database":"ok","broker":"no answer","schemas":"registry is down"}}`, 503
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	defer web.Close()
	probe := process.HTTPReady(web.URL)
	if err := probe(t.Context()); err == nil || err.Error() != "broker: no answer; schemas: registry is down" {
		t.Errorf("got %v", err)
	}
	body = "nonsense"
	if err := probe(t.Context()); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("got %v", err)
	}
	status = 200
	if err := probe(t.Context()); err != nil {
		t.Error(err)
	}
}
