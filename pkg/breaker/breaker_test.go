package breaker_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"eventshop.example/pkg/breaker"
	"eventshop.example/pkg/errs"
)

const (
	window  = time.Minute
	openFor = 30 * time.Second
)

var errDown = errs.New(errs.Transient, "dependency is down")

// bubble runs a test in fake time, with a Breaker of the default settings.
func bubble(t *testing.T, test func(t *testing.T, b *breaker.Breaker)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		test(t, breaker.New(breaker.Config{Name: "gateway", Logger: slog.New(slog.DiscardHandler)}))
	})
}

// pass advances fake time.
func pass(d time.Duration) { <-time.After(d) }

// call makes a call that ends with err and reports whether it was made.
func call(t *testing.T, b *breaker.Breaker, err error) (made bool) {
	t.Helper()
	got := b.Do(t.Context(), func(context.Context) error { made = true; return err })
	if made && got != err { //nolint:errorlint // the very same error
		t.Errorf("Do = %v, want the function's %v", got, err)
	}
	if _, refused := errors.AsType[*breaker.OpenError](got); refused == made {
		t.Errorf("Do = %v, although made is %t", got, made)
	}
	return made
}

func fail(t *testing.T, b *breaker.Breaker, times int) {
	t.Helper()
	for i := range times {
		if !call(t, b, errDown) {
			t.Fatalf("call %d was refused", i+1)
		}
	}
}

func expect(t *testing.T, b *breaker.Breaker, want breaker.State) {
	t.Helper()
	if got := b.State(); got.State != want {
		t.Fatalf("breaker is %+v, want %s", got, want)
	}
}

func TestTheFifthFaultOpens(t *testing.T) {
	bubble(t, func(t *testing.T, b *breaker.Breaker) {
		for range 4 {
			fail(t, b, 1)
			call(t, b, nil) // total, not consecutive
			pass(10 * time.Second)
		}
		expect(t, b, breaker.Closed)
		fail(t, b, 1)
		expect(t, b, breaker.Open)
		if call(t, b, nil) {
			t.Error("an open breaker let a call through")
		}
	})
}

func TestAnswersAreNoFaults(t *testing.T) {
	bubble(t, func(t *testing.T, b *breaker.Breaker) {
		for _, answer := range []error{
			nil, errors.New("plain"), errs.New(errs.Invalid, "declined"), errs.New(errs.Conflict, "captured"),
			errs.New(errs.NotFound, "unknown"), errs.New(errs.Internal, "against the API"), errs.New(errs.Hopeless, "never"),
			context.Canceled, // of another context, not of this caller's
		} {
			for range 10 {
				if !call(t, b, answer) {
					t.Fatalf("refused after %v", answer)
				}
			}
		}
		expect(t, b, breaker.Closed)
		fail(t, b, 4)
		if s := b.State(); s.Failures != 4 || s.LastFault != errDown.Error() {
			t.Errorf("%+v", s)
		}
	})
}

// TestTheWindowRolls: a fixed window would forget these faults at once, or never count them
// together.
func TestTheWindowRolls(t *testing.T) {
	bubble(t, func(t *testing.T, b *breaker.Breaker) {
		fail(t, b, 2)
		pass(40 * time.Second)
		fail(t, b, 2) // four within the minute
		pass(window - 40*time.Second)
		if s := b.State(); s.Failures != 2 {
			t.Fatalf("the first two are not forgotten: %+v", s)
		}
		fail(t, b, 2) // six in all, four within the minute
		expect(t, b, breaker.Closed)
		fail(t, b, 1) // five within the minute, which began in the middle of the first
		expect(t, b, breaker.Open)
	})
	bubble(t, func(t *testing.T, b *breaker.Breaker) {
		fail(t, b, 4)
		pass(window - time.Second - time.Millisecond)
		fail(t, b, 1) // still within it
		expect(t, b, breaker.Open)
	})
}

// TestOneProbeAmongMany: one of 16 callers gets through, and its result decides.
func TestOneProbeAmongMany(t *testing.T) {
	for name, c := range map[string]struct {
		found error
		want  breaker.State
	}{
		"well again":   {nil, breaker.Closed},
		"an answer":    {errs.New(errs.Invalid, "declined"), breaker.Closed},
		"still faulty": {errDown, breaker.Open},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *breaker.Breaker) {
				fail(t, b, 5)
				pass(openFor)
				if call(t, b, nil) {
					t.Fatal("let through before its time")
				}
				pass(time.Millisecond)
				release := make(chan struct{})
				var made, refused int
				var mu sync.Mutex
				var callers sync.WaitGroup
				for range 16 {
					callers.Go(func() {
						err := b.Do(t.Context(), func(context.Context) error {
							mu.Lock()
							made++
							mu.Unlock()
							<-release
							return c.found
						})
						var open *breaker.OpenError
						if !errors.As(err, &open) {
							return
						}
						mu.Lock()
						defer mu.Unlock()
						refused++
						if wait, ok := errs.RetryAfter(err); !ok || wait != 200*time.Millisecond || open.State != breaker.HalfOpen {
							t.Errorf("refused with %v, wait %s", err, wait)
						}
					})
				}
				synctest.Wait()
				expect(t, b, breaker.HalfOpen)
				close(release)
				callers.Wait()
				if made != 1 || refused != 15 {
					t.Errorf("%d calls were made and %d refused", made, refused)
				}
				expect(t, b, c.want)
				if got := call(t, b, nil); got != (c.want == breaker.Closed) {
					t.Errorf("a call after the probe was made: %t", got)
				}
			})
		})
	}
}

// TestAClosedBreakerHasForgotten: the faults that opened it do not count again.
func TestAClosedBreakerHasForgotten(t *testing.T) {
	bubble(t, func(t *testing.T, b *breaker.Breaker) {
		fail(t, b, 5)
		pass(openFor + time.Millisecond)
		call(t, b, nil)
		fail(t, b, 4)
		expect(t, b, breaker.Closed)
		fail(t, b, 1)
		expect(t, b, breaker.Open)
	})
}

// TestRetryAfterIsEnough: a caller that waits for the returned time is let through. That time is
// not much longer than the breaker is open.
func TestRetryAfterIsEnough(t *testing.T) {
	bubble(t, func(t *testing.T, b *breaker.Breaker) {
		fail(t, b, 5)
		for range 2 { // in the second round a failed probe opened it
			pass(12 * time.Second)
			err := b.Do(t.Context(), func(context.Context) error { return nil })
			wait, ok := errs.RetryAfter(err)
			if !ok || errs.KindOf(err) != errs.Transient || wait < 18*time.Second || wait > 18*time.Second+10*time.Millisecond {
				t.Fatalf("refused with %v (%s), wait %s", err, errs.KindOf(err), wait)
			}
			if s := b.State(); s.RetryAfterMS != wait.Milliseconds() || s.Failures != 5 {
				t.Errorf("%+v", s)
			}
			pass(wait)
			fail(t, b, 1)
			expect(t, b, breaker.Open)
		}
	})
}

// TestACancelledProbeDecidesNothing: the breaker neither closes nor opens, and the next call may
// probe.
func TestACancelledProbeDecidesNothing(t *testing.T) {
	for name, end := range map[string]func(ctx context.Context) error{
		"as it is":     func(ctx context.Context) error { return ctx.Err() },
		"as transient": func(ctx context.Context) error { return errs.Wrap(errs.Transient, ctx.Err(), "charge") },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *breaker.Breaker) {
				fail(t, b, 5)
				pass(openFor + time.Millisecond)
				for range 3 {
					ctx, cancel := context.WithCancel(t.Context())
					err := b.Do(ctx, func(ctx context.Context) error { cancel(); return end(ctx) })
					if !errors.Is(err, context.Canceled) {
						t.Fatalf("Do = %v", err)
					}
					expect(t, b, breaker.HalfOpen)
				}
				if !call(t, b, nil) {
					t.Fatal("the cancelled probes wedged it")
				}
				expect(t, b, breaker.Closed)
			})
		})
	}
}

func TestACallerThatLeavesIsNoFault(t *testing.T) {
	bubble(t, func(t *testing.T, b *breaker.Breaker) {
		for range 10 {
			ctx, cancel := context.WithCancel(t.Context())
			_ = b.Do(ctx, func(context.Context) error { cancel(); return errDown })
		}
		expect(t, b, breaker.Closed)

		// A caller that left before the call: fn is not called.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := b.Do(ctx, func(context.Context) error { t.Error("called"); return nil })
		if !errors.Is(err, context.Canceled) || errs.KindOf(err) != errs.Transient {
			t.Errorf("Do = %v", err)
		}
		// A deadline does not count as leaving: the dependency took too long.
		for range 5 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_ = b.Do(ctx, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
			cancel()
		}
		expect(t, b, breaker.Open)
	})
}

// TestAnAnswerCountsAlthoughTheCallerLeft: the dependency did answer.
func TestAnAnswerCountsAlthoughTheCallerLeft(t *testing.T) {
	bubble(t, func(t *testing.T, b *breaker.Breaker) {
		fail(t, b, 5)
		pass(openFor + time.Millisecond)
		ctx, cancel := context.WithCancel(t.Context())
		_ = b.Do(ctx, func(context.Context) error { cancel(); return errs.New(errs.Conflict, "declined") })
		expect(t, b, breaker.Closed)
	})
}

// TestACallThatNeverReturnedIsAFault: none of its endings blocks the probe.
func TestACallThatNeverReturnedIsAFault(t *testing.T) {
	for name, leave := range map[string]func(){
		"panic": func() { panic("bug") },
		"exit":  runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *breaker.Breaker) {
				lost := func() {
					var caught any
					var caller sync.WaitGroup
					caller.Go(func() {
						defer func() { caught = recover() }()
						_ = b.Do(t.Context(), func(context.Context) error { leave(); return nil })
					})
					caller.Wait()
					if name == "panic" && caught != "bug" {
						t.Errorf("recovered %v", caught)
					}
				}
				for range 5 {
					lost()
				}
				expect(t, b, breaker.Open)
				pass(openFor + time.Millisecond)
				lost()
				expect(t, b, breaker.Open)
				pass(openFor + time.Millisecond)
				if !call(t, b, nil) {
					t.Fatal("wedged")
				}
				expect(t, b, breaker.Closed)
			})
		})
	}
}

// TestLateAnswersDecideNothing: calls that began before it opened end while it is open or probing.
func TestLateAnswersDecideNothing(t *testing.T) {
	bubble(t, func(t *testing.T, b *breaker.Breaker) {
		release := make(chan struct{})
		var late sync.WaitGroup
		for _, err := range []error{nil, errDown} {
			late.Go(func() {
				_ = b.Do(t.Context(), func(context.Context) error { <-release; return err })
			})
		}
		synctest.Wait()
		fail(t, b, 5)
		pass(openFor + time.Millisecond)
		_ = b.Do(t.Context(), func(context.Context) error {
			close(release)
			late.Wait()
			expect(t, b, breaker.HalfOpen)
			return nil
		})
		expect(t, b, breaker.Closed)
	})
}

func TestCallReturnsTheResult(t *testing.T) {
	bubble(t, func(t *testing.T, b *breaker.Breaker) {
		got, err := breaker.Call(t.Context(), b, func(context.Context) (int, error) { return 7, errDown })
		if got != 7 || !errors.Is(err, errDown) {
			t.Errorf("Call = %d, %v", got, err)
		}
		fail(t, b, 4)
		got, err = breaker.Call(t.Context(), b, func(context.Context) (int, error) { return 7, nil })
		if _, refused := errors.AsType[*breaker.OpenError](err); got != 0 || !refused {
			t.Errorf("Call = %d, %v", got, err)
		}
	})
}
