// Package breaker is the circuit breaker (Nygard, "Release It!") around something that a service
// depends on and does not own. It is an adapter. The state machine is github.com/sony/gobreaker/v2;
// this package defines which errors count, how long the circuit breaker stays open, and what
// operators see.
//
//	closed ──5 faults in 60 s──▶ open ──30 s, then a call comes──▶ half-open ──success──▶ closed
//	                              ▲                                    │
//	                              └───────────────fault────────────────┘
//
// It guarantees that an open breaker lets no call through and that a half-open breaker lets one
// call at a time through (the probe). No ending of a call blocks the breaker: a panic and
// runtime.Goexit are faults, and a probe whose caller left makes room for the next. Faults are
// counted in a rolling window and need not be consecutive: a dependency that fails every other call
// is as unwell as one that fails five in a row.
//
// It does not bound calls in time. A probe that never returns keeps all other calls refused, so the
// function needs a timeout of its own. It does not retry. Each process has breakers of its own;
// they share nothing.
//
// It fails by refusing. The error has kind errs.Transient and wraps an [*OpenError], and
// errs.RetryAfter returns when trying again makes sense. Its only other error is that of a context
// which ended before the call.
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
	// buckets is how finely the window rolls: a fault is forgotten when between 59/60 of the window
	// and all of it have passed.
	buckets = 60
	// margin is added to the wait that an open breaker returns, because the library lets the probe
	// through after the instant and not at it.
	margin = time.Millisecond
	// probeWait is how long a caller waits that came during the probe. A dependency that is well
	// again answers within that time. While a dependency does not answer, such callers come back a
	// few times, which costs no call.
	probeWait = 200 * time.Millisecond
)

// The results of a call that the library receives. nil is a success.
var (
	errFault    = errors.New("fault")
	errExcluded = errors.New("excluded")
)

// Config configures what a [Breaker] guards and when it opens. Zero values mean the defaults.
type Config struct {
	Name       string                // of the dependency, in errors, logs and metrics: "gateway"
	Failures   int                   // faults within Window that open it, default 5
	Window     time.Duration         // default 60 s
	OpenFor    time.Duration         // from opening to the probe, default 30 s
	Logger     *slog.Logger          // nil: slog.Default
	Registerer prometheus.Registerer // nil: metrics are kept but not exported
}

// Breaker guards one dependency of one process. [New] creates it. It is safe for concurrent use.
type Breaker struct {
	cfg     Config
	cb      *gobreaker.TwoStepCircuitBreaker[struct{}]
	log     *slog.Logger
	metrics metrics

	// seen mirrors the library's state. The library does not report all of it (when it opened), and
	// reports some only by changing it (an open breaker whose time is over). seen is written while
	// the library's lock is locked, so the library must never be called while mu is locked.
	mu   sync.Mutex
	seen seen
}

type seen struct {
	state    State
	since    time.Time
	failures int    // faults that opened it; while it is closed, the library counts them
	fault    string // the text of the latest fault
}

// New creates a closed Breaker.
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

// Do calls fn unless the breaker refuses, and returns fn's error unchanged. It treats the error as
// follows:
//
//   - kind errs.Transient: a fault. So is a panic, which goes on to the caller.
//   - the caller's ctx was cancelled and fn failed because of it: neither fault nor success,
//     because the call showed nothing about the dependency.
//   - any other error is an answer, such as a decline, and counts as a success, as nil does.
//
// Do's own errors have kind errs.Transient. A refusal wraps an [*OpenError]. When ctx had ended
// before the call, Do returns its error and does not call fn.
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

// Call is [Breaker.Do] for a function that has a result. With an error, the result is fn's too. The
// result of a refused call is the zero value.
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
	case errExcluded: //nolint:errorlint // the caller passes it unwrapped
		b.metrics.excluded.Inc()
	default:
		b.metrics.fault.Inc()
		b.mu.Lock()
		b.seen.fault = cause
		b.mu.Unlock()
	}
	done(ended)
}

// readyToTrip is called after each fault in the closed state.
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
		b.log.Warn("circuit breaker stays open: the probe failed", "openFor", b.cfg.OpenFor.String(), "error", s.fault)
	default:
		b.log.Warn("circuit breaker opened: calls are refused", "failures", s.failures, "closedFor", was.String(),
			"openFor", b.cfg.OpenFor.String(), "error", s.fault)
	}
}
