package stack_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"eventshop.example/local/process"
	"eventshop.example/local/stack"
	"eventshop.example/ops/eventshop"
)

func scale(t *testing.T, s *stack.Stack, service string, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Scale(ctx, service, n); err != nil {
		t.Fatal(err)
	}
}

// wantProcesses compares the stack's processes with those of a stack that was never scaled plus
// some replicas.
func wantProcesses(t *testing.T, s *stack.Stack, replicas ...string) {
	t.Helper()
	want := append(stack.Processes(), replicas...)
	slices.Sort(want)
	got := slices.Sorted(slices.Values(s.Processes()))
	if !slices.Equal(got, want) {
		t.Errorf("processes %v, want %v", got, want)
	}
}

func TestLifeOfReplicas(t *testing.T) {
	t.Parallel()
	s, _ := newStack(t)
	up(t, s, stack.Options{Env: map[string]map[string]string{"payment": {"SAGA": "x=y"}}})
	before := wantStates(t, s, process.Running, nil)
	scale(t, s, "payment", 3)
	wantProcesses(t, s, "payment-2", "payment-3")

	t.Run("they run beside the first on the same database", func(t *testing.T) {
		pids := wantStates(t, s, process.Running, nil)
		if pids["payment"] != before["payment"] {
			t.Error("the first is another process")
		}
		first, addrs := envOf(t, s, "payment"), map[string]bool{}
		for _, name := range []string{"payment", "payment-2", "payment-3"} {
			env := envOf(t, s, name)
			for _, key := range []string{"NAME", "DATABASE_URL", "KAFKA_BROKERS", "GATEWAY_URL", "SAGA"} {
				if env[key] == "" || env[key] != first[key] {
					t.Errorf("%s has %s=%q, payment has %q", name, key, env[key], first[key])
				}
			}
			if got := "http://" + env["OPERATOR_ADDR"]; got != s.File().Operators[name] {
				t.Errorf("%s has OPERATOR_ADDR of %s, state.json says %q", name, got, s.File().Operators[name])
			}
			addrs[env["ADDR"]], addrs[env["OPERATOR_ADDR"]] = true, true
		}
		if len(addrs) != 6 {
			t.Errorf("three processes listen at %d addresses, want 6", len(addrs))
		}
	})

	t.Run("the others have one process each", func(t *testing.T) {
		for _, name := range eventshop.Services() {
			if s.File().Operators[name] == "" {
				t.Errorf("%s has no port for operators", name)
			}
		}
		if len(s.File().Operators) != len(eventshop.Services())+2 {
			t.Errorf("ports for operators: %v", s.File().Operators)
		}
	})

	t.Run("each is handled by its name", func(t *testing.T) {
		one, _ := open(t, s.State)
		if err := one.Kill(t.Context(), "payment-2"); err != nil {
			t.Fatal(err)
		}
		wantStates(t, one, process.Running, map[string]process.State{"payment-2": process.Dead})
		if err := one.Start(t.Context(), "payment-2"); err != nil {
			t.Fatal(err)
		}
		if err := one.Pause("payment-3"); err != nil {
			t.Fatal(err)
		}
		wantStates(t, one, process.Running, map[string]process.State{"payment-3": process.Paused})
		if err := one.Resume("payment-3"); err != nil {
			t.Fatal(err)
		}
		if err := one.Stop(t.Context(), "payment-3"); err != nil {
			t.Fatal(err)
		}
		wantStates(t, one, process.Running, map[string]process.State{"payment-3": process.Stopped})
		if _, err := os.Stat(one.LogFile("payment-3")); err != nil {
			t.Error(err)
		}
		if err := one.Kill(t.Context(), "payment-4"); err == nil || !strings.Contains(err.Error(), `"payment-4"`) {
			t.Errorf("kill what is not there: %v", err)
		}
	})

	t.Run("scaling to the same number starts what does not run", func(t *testing.T) {
		again, _ := open(t, s.State)
		scale(t, again, "payment", 3)
		wantStates(t, again, process.Running, nil)
	})

	t.Run("down stops all and up brings as many back", func(t *testing.T) {
		pids := wantStates(t, s, process.Running, nil)
		one, _ := open(t, s.State)
		if err := one.Down(t.Context()); err != nil {
			t.Fatal(err)
		}
		for name, pid := range pids {
			if !process.Ended(pid) {
				t.Errorf("%s is still there as process %d", name, pid)
			}
		}
		again, _ := open(t, s.State)
		up(t, again, stack.Options{})
		wantProcesses(t, again, "payment-2", "payment-3")
		wantStates(t, again, process.Running, nil)
		if env := envOf(t, again, "payment-3"); env["SAGA"] != "x=y" {
			t.Error("a setting by hand is lost with the restart")
		}
		third, out := open(t, s.State)
		up(t, third, stack.Options{})
		if !strings.Contains(out.String(), "up already") {
			t.Errorf("up again says:\n%s", out)
		}
	})

	t.Run("fewer: the highest numbers go and are forgotten", func(t *testing.T) {
		one, _ := open(t, s.State)
		pids := wantStates(t, one, process.Running, nil)
		if err := one.Pause("payment-3"); err != nil { // a frozen process is stopped too
			t.Fatal(err)
		}
		scale(t, one, "payment", 2)
		wantProcesses(t, one, "payment-2")
		for name, pid := range wantStates(t, one, process.Running, nil) {
			if pid != pids[name] {
				t.Errorf("%s is another process", name)
			}
		}
		if !process.Ended(pids["payment-3"]) {
			t.Error("payment-3 still runs")
		}
		scale(t, one, "payment", 1)
		wantProcesses(t, one)
		f := one.File()
		for _, listener := range []string{"payment-2", "payment-2-operator", "payment-3", "payment-3-operator"} {
			if f.Ports[listener] != 0 {
				t.Errorf("%s still has port %d", listener, f.Ports[listener])
			}
		}
		if f.URL["payment-2"] != "" || f.Operators["payment-2"] != "" || f.Replicas["payment"] != 0 {
			t.Errorf("payment-2 is still known: %v %v %v", f.URL, f.Operators, f.Replicas)
		}
	})

	t.Run("while the shop is down only the number is kept", func(t *testing.T) {
		one, _ := open(t, s.State)
		if err := one.Down(t.Context()); err != nil {
			t.Fatal(err)
		}
		scale(t, one, "order", 2)
		wantStates(t, one, process.Stopped, nil)
		again, _ := open(t, s.State)
		up(t, again, stack.Options{})
		wantProcesses(t, again, "order-2")
		wantStates(t, again, process.Running, nil)
	})

	t.Run("wipe forgets them", func(t *testing.T) {
		one, _ := open(t, s.State)
		if err := one.Down(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := one.Wipe(); err != nil {
			t.Fatal(err)
		}
		wantProcesses(t, one)
		if _, err := os.Stat(one.LogFile("order-2")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("its log is still there: %v", err)
		}
	})
}

func TestWhatCannotBeScaled(t *testing.T) {
	t.Parallel()
	s, _ := newStack(t)
	if err := s.Scale(t.Context(), "order", 2); err == nil || !strings.Contains(err.Error(), "shop up") {
		t.Errorf("before the first up: %v", err)
	}
	if _, err := os.Stat(filepath.Join(s.State, "state.json")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it left a state: %v", err)
	}
	for _, c := range []struct {
		service string
		n       int
		names   string
	}{
		{stack.Broker, 2, `"broker"`}, {"payment-2", 2, `"payment-2"`}, {"orders", 2, `"orders"`},
		{"order", 0, "1 to 9"}, {"order", 10, "1 to 9"}, {"order", -1, "1 to 9"},
	} {
		if err := s.Scale(t.Context(), c.service, c.n); err == nil || !strings.Contains(err.Error(), c.names) {
			t.Errorf("scale %s to %d: %v", c.service, c.n, err)
		}
	}
}

// TestAReplicaThatEndsAtOnceIsNamed: the others continue, and the number is kept, so that `shop
// status` shows the dead replica and `shop up` starts it again.
func TestAReplicaThatEndsAtOnceIsNamed(t *testing.T) {
	t.Parallel()
	s, _ := newStack(t)
	up(t, s, stack.Options{})
	scale(t, s, "shipping", 2)
	if err := s.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	again, _ := open(t, s.State)
	err := again.Up(t.Context(), stack.Options{SkipBuild: true, AutoPorts: true,
		Env: map[string]map[string]string{"shipping-2": {"FAIL": "no wheels"}}})
	if err == nil || !strings.Contains(err.Error(), "shipping-2 is not ready") || !strings.Contains(err.Error(), "no wheels") {
		t.Fatalf("got %v", err)
	}
	wantStates(t, again, process.Running, map[string]process.State{"shipping-2": process.Dead})
}

// TestStartWaitsWithoutBarringOthers: while a service waits for its database, another command can
// start the database.
func TestStartWaitsWithoutBarringOthers(t *testing.T) {
	t.Parallel()
	s, _ := newStack(t)
	up(t, s, stack.Options{})
	for _, name := range []string{"payment", stack.Postgres} {
		if err := s.Kill(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	waiting := make(chan error, 1)
	one, _ := open(t, s.State)
	go func() { waiting <- one.Start(t.Context(), "payment") }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for s.Ready(t.Context(), "payment") == nil || !runs(t, s, "payment") {
		select {
		case <-tick.C:
		case err := <-waiting:
			t.Fatalf("payment is started without its database: %v", err)
		}
	}
	other, _ := open(t, s.State)
	if err := other.Start(t.Context(), stack.Postgres); err != nil {
		t.Fatal(err)
	}
	if err := <-waiting; err != nil {
		t.Error(err)
	}
	wantStates(t, s, process.Running, nil)
}

func runs(t *testing.T, s *stack.Stack, name string) bool {
	t.Helper()
	running, err := s.Running()
	if err != nil {
		t.Fatal(err)
	}
	return running[name] != 0
}
