// Package breaker is the circuit breaker (Nygard, "Release It!") around something a
// service depends on and does not own. It is an adapter: the state machine is
// github.com/sony/gobreaker/v2, and what is here says which errors count, how long to
// stay away, and what operators see.
//
//	closed ──5 faults in 60 s──▶ open ──30 s, then a call comes──▶ half-open ──success──▶ closed
//	                              ▲                                    │
//	                              └───────────────fault────────────────┘
//
// It guarantees that an open breaker lets nothing through, that a half-open one lets one
// call at a time through (the probe), and that no ending of a call wedges it: a panic
// and runtime.Goexit are faults, and a probe whose caller left makes room for the next.
// Faults are counted in a rolling window and need not be consecutive: a dependency that
// fails every other call is as unwell as one that fails five in a row.
//
// It does not bound calls in time: a probe that never returns keeps everybody else
// refused, so the function has a timeout of its own. It does not retry. Each process has
// breakers of its own; they share nothing.
//
// It fails by refusing: the error has kind errs.Transient, wraps an *OpenError, and
// errs.RetryAfter tells when trying again makes sense. It has no other errors of its own
// than that of a context which had ended before the call.
package breaker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sony/gobreaker/v2"

	"eventshop.example/pkg/errs"
)

const (
	// buckets is how finely the window rolls: a fault is forgotten when between 59/60 of
	// the window and all of it have passed.
	buckets = 60
	// margin is added to the time an open breaker asks for, because the library lets the
	// probe through after the instant and not at it.
	margin = time.Millisecond
	// probeWait is how long a caller stays away that came while the probe was under way.
	// A dependency that is well again answers within that; one that hangs makes the
	// waiting come back a few times, which costs no call.
	probeWait = 200 * time.Millisecond
)

// How a call ended, as the library is told. nil is a success.
var (
	errFault    = errors.New("fault")
	errExcluded = errors.New("excluded")
)

// Config says what a Breaker guards and when it opens. Zero values mean the defaults.
type Config struct {
	Name       string                // of the dependency, in errors, logs and metrics: "gateway"
	Failures   int                   // faults within Window that open it, default 5
	Window     time.Duration         // default 60 s
	OpenFor    time.Duration         // from opening to the probe, default 30 s
	Logger     *slog.Logger          // nil: slog.Default
	Registerer prometheus.Registerer // nil: metrics are kept but not exported
}

// Breaker guards one dependency of one process. New creates it; it may be used by
// several goroutines.
type Breaker struct {
	cfg     Config
	cb      *gobreaker.TwoStepCircuitBreaker[struct{}]
	log     *slog.Logger
	metrics metrics

	// seen mirrors the library's state, which it does not tell in full (when it opened)
	// or not without moving on (an open one whose time is up). Written with the library's
	// lock held, so the library is never called with mu held.
	mu   sync.Mutex
	seen seen
}

type seen struct {
	state    State
	since    time.Time
	failures int    // faults that opened it; of a closed one, ask the library
	fault    string // the text of the latest fault
}

// New makes a closed Breaker.
func New(cfg Config) *Breaker {
	if cfg.Failures <= 0 {
		cfg.Failures = 5
	}
	if cfg.Window <= 0 {
		cfg.Window = time.Minute
	}
	if cfg.OpenFor <= 0 {
		cfg.OpenFor = 30 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	b := &Breaker{
		cfg:     cfg,
		log:     cfg.Logger.With("breaker", cfg.Name),
		metrics: newMetrics(cfg.Registerer, cfg.Name),
		seen:    seen{state: Closed, since: time.Now()},
	}
	b.cb = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name:          cfg.Name,
		MaxRequests:   1, // one probe
		Interval:      cfg.Window,
		BucketPeriod:  cfg.Window / buckets,
		Timeout:       cfg.OpenFor,
		ReadyToTrip:   b.readyToTrip,
		OnStateChange: b.changed,
		IsSuccessful:  func(err error) bool { return err == nil },
		IsExcluded:    func(err error) bool { return errors.Is(err, errExcluded) },
	})
	return b
}

// Do calls fn unless the breaker refuses, and returns fn's error as it is. What it makes
// of the error:
//
//   - kind errs.Transient: a fault, and so is a panic, which goes on to the caller
//   - the caller's ctx was cancelled and fn failed because of it: neither; nothing was
//     learnt about the dependency
//   - any other error is an answer, such as a decline, and a success like none
//
// Do's own errors have kind errs.Transient: a refusal wraps an *OpenError, and a ctx that
// had ended before the call is returned without calling anybody.
func (b *Breaker) Do(ctx context.Context, fn func(ctx context.Context) error) error {
	if ctx.Err() != nil {
		b.metrics.excluded.Inc()
		return errs.Wrap(errs.Transient, context.Cause(ctx), b.cfg.Name+" not called")
	}
	done, err := b.cb.Allow()
	if err != nil {
		b.metrics.refused.Inc()
		return b.refusal(err)
	}
	ended, cause := errFault, "the call panicked" // unless fn returns
	defer func() { b.end(done, ended, cause) }()
	if err = fn(ctx); err != nil {
		cause = err.Error()
	}
	ended = judge(ctx, err)
	return err
}

// Call is Do for a function that has a result. With an error the result is fn's too; of a
// call refused it is the zero value.
func Call[T any](ctx context.Context, b *Breaker, fn func(ctx context.Context) (T, error)) (T, error) {
	var result T
	err := b.Do(ctx, func(ctx context.Context) (err error) {
		result, err = fn(ctx)
		return err
	})
	return result, err
}

func judge(ctx context.Context, err error) error {
	transient := errs.KindOf(err) == errs.Transient
	switch {
	case errors.Is(ctx.Err(), context.Canceled) && (transient || errors.Is(err, context.Canceled)):
		return errExcluded
	case transient:
		return errFault
	}
	return nil
}

func (b *Breaker) end(done func(error), ended error, cause string) {
	switch ended {
	case nil:
		b.metrics.success.Inc()
	case errExcluded:
		b.metrics.excluded.Inc()
	default:
		b.metrics.fault.Inc()
		b.mu.Lock()
		b.seen.fault = cause
		b.mu.Unlock()
	}
	done(ended)
}

// readyToTrip is asked after each fault in the closed state.
func (b *Breaker) readyToTrip(counts gobreaker.Counts) bool {
	if int(counts.TotalFailures) < b.cfg.Failures {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen.failures = int(counts.TotalFailures)
	return true
}

func (b *Breaker) changed(_ string, from, to gobreaker.State) {
	b.mu.Lock()
	now := time.Now()
	was := now.Sub(b.seen.since)
	b.seen.state, b.seen.since = states[to], now
	s := b.seen
	b.mu.Unlock()

	b.metrics.moved(s.state)
	switch {
	case to == gobreaker.StateHalfOpen:
		b.log.Info("circuit breaker is half-open: one call probes")
	case to == gobreaker.StateClosed:
		b.log.Info("circuit breaker closed: calls go through again")
	case from == gobreaker.StateHalfOpen:
		b.log.Warn("circuit breaker stays open: the probe failed", "open_for", b.cfg.OpenFor.String(), "error", s.fault)
	default:
		b.log.Warn("circuit breaker opened: calls are refused", "failures", s.failures, "closed_for", was.String(),
			"open_for", b.cfg.OpenFor.String(), "error", s.fault)
	}
}
