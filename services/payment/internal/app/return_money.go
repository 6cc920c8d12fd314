package app

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/backoff"
	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/reaction"
	"eventshop.example/pkg/telemetry"
	"eventshop.example/services/payment/internal/db"
	"eventshop.example/services/payment/internal/gateway"
	"eventshop.example/services/payment/payment"
)

const (
	// maxAttemptsAtOnce is the number of concurrent attempts per process. It is large enough that a
	// few attempts that wait for their timeouts do not delay the others.
	maxAttemptsAtOnce = 16
	// firstLook is the pause before the second look after a wake-up. The first look skips a payment
	// that another transaction has locked. The pauses double from here to Poll.
	firstLook = time.Millisecond
	// maxTrouble bounds the pause while the database or the registry is unavailable.
	maxTrouble = 5 * time.Second
	// countEvery is the minimum time between two updates of the gauges.
	countEvery = 5 * time.Second
	// probeCourtesy is how long the worker leaves the probe of an open breaker to charges, after
	// the breaker would allow it. Customers wait for charges. When there is a charge, the consumer
	// makes it within milliseconds. Otherwise the worker probes, and one second more is harmless
	// for a refund. Without this delay, a refund that always fails would probe first every time and
	// keep the breaker open although charges succeed.
	probeCourtesy = time.Second
)

// ReturnMoney is the worker that stops charges and refunds captured money. It runs until ctx ends,
// and several replicas may run it. A worker claims each attempt by a lease. When its process dies,
// the attempt is due again after the lease. ReturnMoney always returns nil. It logs and counts
// failures and tries again.
//
// While the circuit breaker refuses calls, the worker claims only overdue returns. Claiming the
// others would write thousands of rows every half minute only to defer them.
//
// When ctx ends, the worker finishes its current attempts. The gateway may carry out an abandoned
// request, and another process would then have to find out.
func (a *App) ReturnMoney(ctx context.Context) error {
	var attempts sync.WaitGroup
	defer attempts.Wait()
	slots := make(chan struct{}, maxAttemptsAtOnce)
	freed := make(chan struct{}, 1)
	pause, failures, failing := firstLook, 0, backoff.Policy{Base: a.refunds.Poll, Max: maxTrouble}
	var counted time.Time
	for {
		free := cap(slots) - len(slots)
		claimed, err := a.claimWhatCanBeEmitted(ctx, free)
		switch {
		case ctx.Err() != nil && err != nil:
			return nil
		case err != nil:
			failures++
			pause = failing.Wait(failures)
			a.log.WarnContext(ctx, "money to return not looked up; trying again", "error", err, "pause", pause.String())
		case free > 0 && len(claimed) == free:
			failures, pause = 0, firstLook // more may be due
		default:
			failures = 0
		}
		for _, row := range claimed {
			slots <- struct{}{}
			attempts.Go(func() {
				a.attempt(ctx, row)
				<-slots
				select {
				case freed <- struct{}{}:
				default:
				}
			})
		}
		if now := time.Now(); now.Sub(counted) > countEvery && err == nil {
			counted = now
			a.count(ctx)
		}
		timer := time.NewTimer(pause)
		pause = min(2*pause, a.refunds.Poll)
		full := freed
		if len(slots) < cap(slots) {
			full = nil // a slot is free, so another free slot changes nothing
		}
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-a.wake:
			pause = firstLook
		case <-full:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// claimWhatCanBeEmitted claims payments only while the schemas of all events that their attempts
// can produce are known. Otherwise money could be returned without an event, and the order would
// never receive the refund.
func (a *App) claimWhatCanBeEmitted(ctx context.Context, most int) ([]db.Payment, error) {
	if most > 0 {
		if err := a.outbox.CanAppend(ctx, emittedOfReturns()...); err != nil {
			return nil, err
		}
	}
	return a.claim(ctx, most)
}

// emittedOfReturns lists the events that an attempt to return money can produce.
func emittedOfReturns() []event.Type {
	return []event.Type{
		events.TypeOf[events.PaymentCompleted](), // a void that came too late
		events.TypeOf[events.PaymentFailed](),
		events.TypeOf[events.PaymentRefunded](),
		events.TypeOf[events.PaymentVoided](),
		events.TypeOf[events.PaymentRefundFailed](),
	}
}

// claim claims up to most due payments for this process, for the length of a lease.
func (a *App) claim(ctx context.Context, most int) ([]db.Payment, error) {
	if most <= 0 {
		return nil, nil
	}
	now := a.now()
	lease, beganBy := now.Add(a.refunds.Lease), now
	if a.gateway.Wait(probeCourtesy) > 0 {
		beganBy = now.Add(-a.refunds.Deadline)
	}
	rows, err := db.New(a.pool).ClaimReturns(ctx, db.ClaimReturnsParams{
		Now: &now, LeaseUntil: &lease, BeganBy: beganBy, BeyondEveryWait: now.Add(a.longestWait()), Most: int32(most),
	})
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("claim: %w", err))
	}
	return rows, nil
}

// clockMargin is the allowed difference between the clocks of processes. The lease of a process
// whose clock is ahead by less is respected.
const clockMargin = time.Minute

// longestWait is the longest time that the backoff, a lease or an open breaker can defer an
// attempt, with a margin. A longer deferral comes from a clock that was ahead.
func (a *App) longestWait() time.Duration {
	return max(a.refunds.BackoffMax, a.refunds.Lease, a.gateway.Wait(0)) + probeCourtesy + clockMargin
}

// attempt makes one attempt for a claimed payment and records its result. The row may have changed
// since the claim. The transition table then treats the inputs as duplicates.
func (a *App) attempt(ctx context.Context, row db.Payment) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.refunds.Lease)
	defer cancel()
	ctx = telemetry.Continue(telemetry.With(ctx, row.OrderID, "", row.CorrelationID), row.Traceparent, row.Tracestate)
	in := a.giveBack(ctx, row)
	var cause outbox.Cause // the payment's row supplies the ids
	cause.TraceParent, cause.TraceState = telemetry.Trace(ctx)
	step := a.Payments.Step(row.OrderID, in, cause)
	var decisions []reaction.Decision[Payment]
	err := postgres.InTx(ctx, a.pool, func(tx pgx.Tx) (err error) {
		decisions, err = a.Payments.Run(ctx, tx, step)
		return err
	})
	if err != nil {
		a.log.WarnContext(ctx, "attempt to return money not recorded; it is due again when its lease ends", "error", err)
		return
	}
	reaction.Committed(ctx, decisions...)
	a.outbox.Wake()
}

// giveBack calls the gateway. It voids the charge when its outcome is unknown, and refunds it when
// it took money.
func (a *App) giveBack(ctx context.Context, row db.Payment) Input {
	in := Input{MustExist: true}
	if payment.State(row.State) == payment.Voiding {
		answer, err := observe(a, "void", func() (gateway.Answer, error) {
			return a.gateway.Void(ctx, ChargeKey(row.OrderID), gateway.VoidRequest{
				OrderID: row.OrderID, CustomerID: row.CustomerID, Reason: row.Reason,
			})
		})
		if err != nil {
			return in.failed(err)
		}
		in.Answers = append(in.Answers, answer)
		in.Kinds = append(in.Kinds, map[gateway.Outcome]payment.Input{
			gateway.Voided: payment.VoidConfirmed, gateway.Declined: payment.VoidDeclined, gateway.Captured: payment.VoidTooLate,
		}[answer.Outcome])
		if answer.Outcome != gateway.Captured {
			return in
		}
		row.Amount = answer.Amount
	}
	answer, err := observe(a, "refund", func() (gateway.Answer, error) {
		return a.gateway.Refund(ctx, RefundKey(row.OrderID), gateway.RefundRequest{
			ChargeKey: ChargeKey(row.OrderID), Amount: row.Amount, Reason: row.Reason,
		})
	})
	if err != nil {
		return in.failed(err)
	}
	in.Answers = append(in.Answers, answer)
	in.Kinds = append(in.Kinds, payment.RefundMade)
	return in
}

// failed returns the input of an attempt whose last call got no answer. The answers before it
// count: its void may have been too late.
func (in Input) failed(err error) Input {
	in.Failure = &Failure{Text: gateway.Tidy(err.Error()), Jitter: rand.Float64()}
	if gateway.IsRefused(err) {
		in.Failure.Refused, _ = errs.RetryAfter(err)
	}
	return in
}

func (a *App) count(ctx context.Context) {
	n, err := db.New(a.pool).CountOpen(ctx)
	if err != nil {
		return // claim reports an unavailable database
	}
	a.metrics.returning.Set(float64(n.DueBack))
	a.metrics.attention.Set(float64(n.Attention))
}
