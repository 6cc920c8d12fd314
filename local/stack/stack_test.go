package stack_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/local/process"
	"eventshop.example/local/stack"
	"eventshop.example/ops/eventshop"
)

func wantStates(t *testing.T, s *stack.Stack, want process.State, except map[string]process.State) map[string]int {
	t.Helper()
	all, err := s.Status()
	if err != nil {
		t.Fatal(err)
	}
	pids := map[string]int{}
	for _, name := range stack.Processes() {
		expected := want
		if e, ok := except[name]; ok {
			expected = e
		}
		if all[name].State != expected {
			t.Errorf("%s is %s, want %s", name, all[name].State, expected)
		}
		pids[name] = all[name].PID
	}
	return pids
}

func TestLifeOfAStack(t *testing.T) {
	t.Parallel()
	s, _ := newStack(t)
	up(t, s, stack.Options{Env: map[string]map[string]string{"payment": {"SAGA": "x=y", "GOMEMLIMIT": "9MiB"}}})
	before := wantStates(t, s, process.Running, nil)

	t.Run("each service is told where the others are", func(t *testing.T) {
		f := s.File()
		for _, name := range eventshop.Services() {
			env := envOf(t, s, name)
			for key, want := range map[string]string{
				"NAME": name, "ADDR": strings.TrimPrefix(f.URL[name], "http://"), "DATABASE_URL": f.DSN[name],
				"OPERATOR_ADDR": strings.TrimPrefix(f.Operators[name], "http://"),
				"KAFKA_BROKERS": f.Kafka[0], "SCHEMA_REGISTRY_URL": f.URL[stack.Registry],
				"GATEWAY_URL": f.URL[stack.Gateway], "CARRIER_URL": f.URL[stack.Carrier],
				"MAILBOX_URL": f.URL[stack.Mailbox], "ORDER_URL": f.URL["order"],
			} {
				if env[key] != want {
					t.Errorf("%s has %s=%q, want %q", name, key, env[key], want)
				}
			}
		}
		if env := envOf(t, s, "payment"); env["SAGA"] != "x=y" || env["GOMEMLIMIT"] != "9MiB" {
			t.Errorf("settings by hand: SAGA=%q GOMEMLIMIT=%q", env["SAGA"], env["GOMEMLIMIT"])
		}
		if env := envOf(t, s, stack.Carrier); env["DATA_DIR"] == "" || env["DATABASE_URL"] != "" {
			t.Errorf("carrier has DATA_DIR=%q DATABASE_URL=%q", env["DATA_DIR"], env["DATABASE_URL"])
		}
	})

	t.Run("the topics are there", func(t *testing.T) { wantTopics(t, s) })

	t.Run("up again does nothing and says so", func(t *testing.T) {
		again, out := open(t, s.State)
		up(t, again, stack.Options{})
		if !strings.Contains(out.String(), "up already") {
			t.Errorf("it says:\n%s", out)
		}
		for name, pid := range wantStates(t, again, process.Running, nil) {
			if pid != before[name] {
				t.Errorf("%s is another process", name)
			}
		}
	})

	t.Run("every killed process can be started again", func(t *testing.T) {
		exec(t, s, "order", `CREATE TABLE survivor (n int)`)
		for _, name := range stack.Processes() {
			one, _ := open(t, s.State)
			if err := one.Kill(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			wantStates(t, one, process.Running, map[string]process.State{name: process.Dead})
			if err := one.Ready(t.Context(), name); err == nil {
				t.Errorf("%s is dead and ready", name)
			}
			if err := one.Start(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			if err := one.Ready(t.Context(), name); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		exec(t, s, "order", `INSERT INTO survivor VALUES (1)`)
		if env := envOf(t, s, "payment"); env["SAGA"] != "x=y" {
			t.Error("a setting by hand is lost with the restart")
		}
		wantTopics(t, s)
	})

	t.Run("frozen and thawed", func(t *testing.T) {
		if err := s.Pause("order"); err != nil {
			t.Fatal(err)
		}
		if err := s.Ready(t.Context(), "order"); err == nil {
			t.Error("order is frozen and ready")
		}
		if err := s.Start(t.Context(), "order"); err == nil || !strings.Contains(err.Error(), "shop resume order") {
			t.Errorf("start what is frozen: %v", err)
		}
		if err := s.Resume("order"); err != nil {
			t.Fatal(err)
		}
		if err := s.Ready(t.Context(), "order"); err != nil {
			t.Error(err)
		}
	})

	t.Run("wipe refuses while it runs", func(t *testing.T) {
		if err := s.Wipe(); err == nil {
			t.Fatal("wiped")
		}
		exec(t, s, "order", `SELECT n FROM survivor`)
	})

	t.Run("up starts what is missing and leaves the rest", func(t *testing.T) {
		pids := wantStates(t, s, process.Running, nil)
		if err := s.Kill(t.Context(), "shipping"); err != nil {
			t.Fatal(err)
		}
		if err := s.Stop(t.Context(), stack.Carrier); err != nil {
			t.Fatal(err)
		}
		again, _ := open(t, s.State)
		up(t, again, stack.Options{})
		for name, pid := range wantStates(t, again, process.Running, nil) {
			if same := pid == pids[name]; same != (name != "shipping" && name != stack.Carrier) {
				t.Errorf("%s: the same process is %v", name, same)
			}
		}
	})

	t.Run("down leaves no process and up brings the data back", func(t *testing.T) {
		pids := wantStates(t, s, process.Running, nil)
		if err := s.Down(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantStates(t, s, process.Stopped, nil)
		for name, pid := range pids {
			if !process.Ended(pid) {
				t.Errorf("%s is still there as process %d", name, pid)
			}
		}
		again, _ := open(t, s.State)
		up(t, again, stack.Options{})
		if again.File().Ports["order"] != s.File().Ports["order"] {
			t.Error("the ports are others than before")
		}
		exec(t, again, "order", `INSERT INTO survivor VALUES (2)`)
		wantTopics(t, again)
	})

	t.Run("wipe deletes the data", func(t *testing.T) {
		if err := s.Down(t.Context()); err != nil {
			t.Fatal(err)
		}
		again, _ := open(t, s.State)
		if err := again.Wipe(); err != nil {
			t.Fatal(err)
		}
		for _, gone := range []string{"state.json", "postgres", "broker", "registry", "run", "logs"} {
			if _, err := os.Stat(filepath.Join(s.State, gone)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s is still there: %v", gone, err)
			}
		}
		if again.Known() {
			t.Error("the stack is still known")
		}
	})
}

func wantTopics(t *testing.T, s *stack.Stack) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.File().Kafka...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	topics, err := kadm.NewClient(client).ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range eventshop.Topics() {
		if got := len(topics[want.Name].Partitions); got != int(want.Partitions) {
			t.Errorf("topic %s has %d partitions, want %d", want.Name, got, want.Partitions)
		}
	}
}

func TestAServiceThatEndsAtOnceShowsItsLog(t *testing.T) {
	t.Parallel()
	s, _ := newStack(t)
	err := s.Up(t.Context(), stack.Options{SkipBuild: true, AutoPorts: true,
		Env: map[string]map[string]string{"inventory": {"FAIL": "no shelves"}}})
	if err == nil || !strings.Contains(err.Error(), "inventory is not ready") || !strings.Contains(err.Error(), "told to fail: no shelves") {
		t.Fatalf("got %v", err)
	}
	for _, other := range []string{"order", "payment", "shipping", "projection"} {
		if strings.Contains(err.Error(), other+" is not ready") {
			t.Errorf("%s is blamed too: %v", other, err)
		}
	}
}

func TestTwoUpsAtOnceMakeOneStack(t *testing.T) {
	t.Parallel()
	s, _ := newStack(t)
	outs := make([]string, 2)
	var wg sync.WaitGroup
	for i := range outs {
		one, out := open(t, s.State)
		wg.Go(func() {
			if err := one.Up(t.Context(), stack.Options{SkipBuild: true, AutoPorts: true}); err != nil {
				t.Error(err)
			}
			outs[i] = out.String()
		})
	}
	wg.Wait()
	wantStates(t, s, process.Running, nil)
	if all := strings.Join(outs, ""); strings.Count(all, "waiting for it") != 1 || strings.Count(all, "up already") != 1 {
		t.Errorf("they say:\n%s", all)
	}
}

func TestAnInterruptedUpStopsWhatItStarted(t *testing.T) {
	t.Parallel()
	s, _ := newStack(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	// The interrupt comes when the first process is reported ready.
	s.Out = interrupt(cancel)
	if err := s.Up(ctx, stack.Options{SkipBuild: true, AutoPorts: true}); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	wantStates(t, s, process.Stopped, nil)
}

// interrupt is a writer that calls the function at each write.
type interrupt func()

func (i interrupt) Write(b []byte) (int, error) {
	i()
	return len(b), nil
}

func TestATakenPortIsNamedAndNothingStarts(t *testing.T) {
	t.Parallel()
	s, _ := newStack(t)
	stranger, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	_, port, _ := net.SplitHostPort(stranger.Addr().String())
	err = s.Up(t.Context(), stack.Options{SkipBuild: true, AutoPorts: true,
		Ports: map[string]int{"payment": stranger.Addr().(*net.TCPAddr).Port}})
	if err == nil || !strings.Contains(err.Error(), port) || !strings.Contains(err.Error(), "payment") {
		t.Fatalf("got %v", err)
	}
	wantStates(t, s, process.Stopped, nil)
}

func TestStateIsReadableByItsOwnerOnly(t *testing.T) {
	t.Parallel()
	s, _ := newStack(t)
	up(t, s, stack.Options{})
	info, err := os.Stat(filepath.Join(s.State, "state.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v: it holds passwords", info.Mode(), err)
	}
	res, err := http.Get(s.File().URL[stack.Registry] + "/subjects")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("registry: %s", res.Status)
	}
}

func TestUnknownNames(t *testing.T) {
	t.Parallel()
	s, _ := newStack(t)
	for what, err := range map[string]error{
		"kill":   s.Kill(t.Context(), "orders"),
		"start":  s.Start(t.Context(), "orders"),
		"a port": s.Up(t.Context(), stack.Options{SkipBuild: true, Ports: map[string]int{"orders": 1}}),
		"an env": s.Up(t.Context(), stack.Options{SkipBuild: true, AutoPorts: true, Env: map[string]map[string]string{"orders": {"A": "B"}}}),
	} {
		if err == nil || !strings.Contains(err.Error(), `"orders"`) {
			t.Errorf("%s of an unknown process: %v", what, err)
		}
	}
}

func TestBeforeTheFirstUp(t *testing.T) {
	t.Parallel()
	s, _ := newStack(t)
	if err := s.Start(t.Context(), "order"); err == nil || !strings.Contains(err.Error(), "shop up") {
		t.Errorf("start: %v", err)
	}
	wantStates(t, s, process.Stopped, nil)
}
