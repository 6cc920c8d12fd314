package stack_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"eventshop.example/local/process"
	"eventshop.example/local/stack"
)

func wantFate(t *testing.T, what string, want stack.Fate, look func() (stack.Fate, error)) {
	t.Helper()
	if got, err := look(); err != nil || got != want {
		t.Errorf("%s: fate %d, %v, want %d", what, got, err, want)
	}
}

// Whatever other commands do meanwhile, a command stops only the shop that it opened.
func TestOnlyTheShopThatAnUpOpenedIsItsToStop(t *testing.T) {
	t.Parallel()
	first, _ := newStack(t)
	down := func(s *stack.Stack) func() (stack.Fate, error) {
		return func() (stack.Fate, error) { return s.DownOwn(t.Context()) }
	}
	up(t, first, stack.Options{})
	wantFate(t, "after up", stack.StillOwn, first.Fate)

	beside, _ := open(t, first.State)
	if err := beside.Kill(t.Context(), stack.Carrier); err != nil {
		t.Fatal(err)
	}
	up(t, beside, stack.Options{})
	if beside.Opened() {
		t.Error("an up that starts one process of a shop that runs has opened it")
	}
	wantFate(t, "after an up beside it", stack.StillOwn, first.Fate)
	if fate, err := beside.DownOwn(t.Context()); err != nil || fate == stack.StillOwn {
		t.Errorf("the up beside it: fate %d, %v", fate, err)
	}
	wantStates(t, first, process.Running, nil)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	wantFate(t, "Ctrl-C", stack.StillOwn, func() (stack.Fate, error) { return first.AwaitEnd(ended) })

	if err := beside.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantFate(t, "after down", stack.TakenDown, func() (stack.Fate, error) { return first.AwaitEnd(t.Context()) })
	wantFate(t, "after down", stack.TakenDown, down(first))
	second, _ := open(t, first.State)
	up(t, second, stack.Options{})
	wantFate(t, "after down and up", stack.OpenedAnew, func() (stack.Fate, error) { return first.AwaitEnd(t.Context()) })
	wantFate(t, "after down and up", stack.OpenedAnew, down(first))
	wantStates(t, second, process.Running, nil)

	wantFate(t, "the second", stack.StillOwn, down(second))
	wantStates(t, second, process.Stopped, nil)
	wantFate(t, "the second again", stack.TakenDown, down(second))
	wiping, _ := open(t, first.State)
	if err := wiping.Wipe(); err != nil {
		t.Fatal(err)
	}
	wantFate(t, "after wipe", stack.TakenDown, down(second))
	if err := second.Down(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(first.State, "state.json")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a wiped shop has a state again: %v", err)
	}
}
