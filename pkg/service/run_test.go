package service

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// journal records events in their order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

// worker runs until it is stopped and then takes a while to finish.
func (j *journal) worker(name string, finish time.Duration) Component {
	return Component{Name: name, Run: func(ctx context.Context) error {
		<-ctx.Done()
		j.add(name + " told")
		<-time.After(finish) // fake time: the callers run in a synctest bubble
		j.add(name + " done")
		return ctx.Err()
	}}
}

func TestComponentsStopInReverseOrderOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- Run(ctx, quiet, 10*time.Second, j.worker("relay", time.Second), j.worker("consumer", 2*time.Second), j.worker("http", time.Second))
		}()
		synctest.Wait()
		if len(j.lines) > 0 {
			t.Errorf("before the stop: %v", j.lines)
		}
		cancel()
		begin := time.Now()
		if err := <-ended; err != nil {
			t.Errorf("a clean stop: %v", err)
		}
		want := []string{"http told", "http done", "consumer told", "consumer done", "relay told", "relay done"}
		if diff := cmp.Diff(want, j.lines); diff != "" {
			t.Error(diff)
		}
		if took := time.Since(begin); took != 4*time.Second {
			t.Errorf("the stop took %s, want 4s", took)
		}
	})
}

func TestAnErrorStopsTheOthersAndIsReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		boom := errors.New("boom")
		fail := make(chan struct{})
		ended := make(chan error, 1)
		go func() {
			ended <- Run(t.Context(), quiet, time.Minute, j.worker("relay", 0),
				Component{"consumer", func(context.Context) error { <-fail; return boom }}, j.worker("http", 0))
		}()
		synctest.Wait()
		close(fail)
		if err := <-ended; !errors.Is(err, boom) || err.Error() != "consumer: boom" {
			t.Errorf("error %v", err)
		}
		if diff := cmp.Diff([]string{"http told", "http done", "relay told", "relay done"}, j.lines); diff != "" {
			t.Error(diff)
		}
	})
}

func TestPanicIsAnError(t *testing.T) {
	err := Run(t.Context(), quiet, time.Minute, Component{"consumer", func(context.Context) error { panic("boom") }})
	if err == nil || !strings.Contains(err.Error(), "consumer: panic: boom") || !strings.Contains(err.Error(), "run_test.go") {
		t.Errorf("error %v, want the panic with its stack", err)
	}
}

func TestWorkThatIsDoneDoesNotEndTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- Run(ctx, quiet, time.Minute, Component{"schemas", func(context.Context) error { return nil }},
				Component{"http", func(ctx context.Context) error { <-ctx.Done(); return nil }})
		}()
		synctest.Wait()
		select {
		case err := <-ended:
			t.Fatalf("ended with %v", err)
		default:
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestErrorsWhileStoppingAreReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		stubborn := func(text string) func(context.Context) error {
			return func(ctx context.Context) error { <-ctx.Done(); return errors.New(text) }
		}
		err := Run(ctx, quiet, time.Minute, Component{"a", stubborn("one")}, Component{"b", stubborn("two")})
		if err == nil || err.Error() != "b: two\na: one" {
			t.Errorf("error %v", err)
		}
	})
}

func TestTheGracefulPeriodIsForAllTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		begin := time.Now()
		err := Run(ctx, quiet, 5*time.Second, j.worker("relay", 0), j.worker("consumer", time.Minute), j.worker("http", 3*time.Second))
		if took := time.Since(begin); took != 5*time.Second {
			t.Errorf("the stop took %s, want 5s", took)
		}
		if err == nil || !strings.Contains(err.Error(), "not stopped within 5s: consumer") {
			t.Errorf("error %v", err)
		}
		<-time.After(time.Minute) // the bubble ends when the components left behind have ended
	})
}
