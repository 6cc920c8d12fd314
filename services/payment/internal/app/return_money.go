package app

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/telemetry"
	"eventshop.example/services/payment/internal/db"
	"eventshop.example/services/payment/internal/gateway"
	"eventshop.example/services/payment/internal/payment"
)

const (
	// maxAttemptsAtOnce is how many attempts of one process run at the same time: enough
	// that a few that wait for their timeout do not keep the others waiting.
	maxAttemptsAtOnce = 16
	// firstLook is the pause before the second look after a wake-up. The waker's
	// transaction may not have committed yet; the pauses double from here to Poll.
	firstLook = time.Millisecond
	// maxTrouble bounds the pause while the database or the registry is away.
	maxTrouble = 5 * time.Second
	// countEvery is how often the gauges are brought up to date.
	countEvery = 5 * time.Second
	// probeCourtesy is how long after an open breaker's time the worker leaves the probe to
	// charges, for which customers wait. The consumer comes within milliseconds when it has
	// one; when it has none the worker probes, and a second more or less is nothing to a
	// refund. Without it a refund that always fails would be faster each time and keep the
	// breaker open although charges go through.
	probeCourtesy = time.Second
)

// ReturnMoney is the worker that stops charges and gives captured money back, until ctx
// ends. Several replicas may run it: an attempt is claimed by a lease, which also brings
// it back when its process dies. It returns only nil: what fails is logged, counted and
// tried again.
//
// While the circuit breaker refuses, nothing is claimed but what is overdue: the rest
// would only be written to be put off, thousands of rows each half minute.
//
// Attempts under way when ctx ends are finished, because giving up on a request that the
// gateway may have carried out only makes work for the next process.
func (a *App) ReturnMoney(ctx context.Context) error {
	var attempts sync.WaitGroup
	defer attempts.Wait()
	slots := make(chan struct{}, maxAttemptsAtOnce)
	freed := make(chan struct{}, 1)
	pause, failures := firstLook, 0
	var counted time.Time
	for {
		free := cap(slots) - len(slots)
		claimed, err := a.claimWhatCanBeTold(ctx, free)
		switch {
		case ctx.Err() != nil && err != nil:
			return nil
		case err != nil:
			failures++
			pause = min(a.refunds.Poll<<min(failures, 10), maxTrouble)
			a.log.WarnContext(ctx, "money to return not looked up; trying again", "error", err, "pause", pause.String())
		case free > 0 && len(claimed) == free:
			failures, pause = 0, firstLook // there may well be more
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
			full = nil // a slot is free, so one more changes nothing
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

// claimWhatCanBeTold claims payments while the schemas of what their attempts can come to
// are known. Money that is given back and cannot be told of would be a refund that the
// order never hears of.
func (a *App) claimWhatCanBeTold(ctx context.Context, most int) ([]db.Payment, error) {
	if most > 0 {
		if err := a.outbox.CanAppend(ctx, tellsOfReturns()...); err != nil {
			return nil, err
		}
	}
	return a.claim(ctx, most)
}

// tellsOfReturns is what an attempt to return money can come to.
func tellsOfReturns() []events.Type {
	return []events.Type{
		events.TypeOf[events.PaymentCompleted](), // a void that came too late
		events.TypeOf[events.PaymentFailed](),
		events.TypeOf[events.PaymentRefunded](),
		events.TypeOf[events.PaymentVoided](),
		events.TypeOf[events.PaymentRefundFailed](),
	}
}

// claim takes up to most due payments for this process, for the length of a lease.
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

// clockMargin is by how much the clocks of processes may differ: a lease of a process that is
// ahead by less is respected.
const clockMargin = time.Minute

// longestWait is the longest that an attempt is put off, by the backoff, a lease or an open
// breaker, with a margin. What is put off for longer was put off by a clock that was ahead.
func (a *App) longestWait() time.Duration {
	return max(a.refunds.BackoffMax, a.refunds.Lease, a.gateway.Wait(0)) + probeCourtesy + clockMargin
}

// attempt makes one attempt for a claimed payment and records what it brought.
func (a *App) attempt(ctx context.Context, row db.Payment) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.refunds.Lease)
	defer cancel()
	ctx = telemetry.With(ctx, row.OrderID, "", row.CorrelationID)
	s := a.giveBack(ctx, row)
	if err := postgres.InTx(ctx, a.pool, func(tx pgx.Tx) error { return a.settle(ctx, tx, s) }); err != nil {
		a.log.WarnContext(ctx, "attempt to return money not recorded; it is due again when its lease ends", "error", err)
		return
	}
	a.outbox.Wake()
}

// giveBack asks the gateway: stop the charge if nobody knows what became of it, refund
// it if it took money.
func (a *App) giveBack(ctx context.Context, row db.Payment) step {
	s := step{orderID: row.OrderID}
	if payment.State(row.State) == payment.Voiding {
		answer, err := observe(a, "void", func() (gateway.Answer, error) {
			return a.gateway.Void(ctx, ChargeKey(row.OrderID), gateway.VoidRequest{
				OrderID: row.OrderID, CustomerID: row.CustomerID, Reason: row.Reason,
			})
		})
		if err != nil {
			return s.failed(err)
		}
		s.answers = append(s.answers, answer)
		s.inputs = append(s.inputs, map[gateway.Outcome]payment.Input{
			gateway.Voided: payment.VoidConfirmed, gateway.Declined: payment.VoidDeclined, gateway.Captured: payment.VoidTooLate,
		}[answer.Outcome])
		if answer.Outcome != gateway.Captured {
			return s
		}
		row.Amount = answer.Amount
	}
	answer, err := observe(a, "refund", func() (gateway.Answer, error) {
		return a.gateway.Refund(ctx, RefundKey(row.OrderID), gateway.RefundRequest{
			ChargeKey: ChargeKey(row.OrderID), Amount: row.Amount, Reason: row.Reason,
		})
	})
	if err != nil {
		return s.failed(err)
	}
	s.answers = append(s.answers, answer)
	s.inputs = append(s.inputs, payment.RefundMade)
	return s
}

// failed is the step of an attempt whose last call brought no answer.
func (s step) failed(err error) step {
	s.failure = gateway.Tidy(err.Error())
	if gateway.IsRefused(err) {
		s.refused, _ = errs.RetryAfter(err)
	}
	return s
}

// settle records an attempt. One that failed is due again after a while, or was the
// last. The row may have moved on since the claim: then the table finds that everything
// is there already.
func (a *App) settle(ctx context.Context, tx pgx.Tx, s step) error {
	row, err := a.lock(ctx, tx, s.orderID)
	if err != nil {
		return err
	}
	if len(s.inputs) > 0 { // also of an attempt that failed half-way: its void was too late
		if _, err := a.change(ctx, tx, &row, s); err != nil {
			return err
		}
	}
	if s.failure == "" || !payment.State(row.State).Returning() {
		return nil
	}
	failed := step{orderID: s.orderID, failure: s.failure}
	wait := a.backoff(row.Attempts)
	if s.refused > 0 {
		wait = max(wait, s.refused+probeCourtesy)
		if !a.overdue(row) {
			return a.putOff(ctx, tx, row, s)
		}
	}
	next := a.now().Add(wait)
	row.LastError, row.NextAttemptAt = s.failure, &next
	if a.spent(row) {
		failed.inputs = []payment.Input{payment.AttemptsSpent}
	}
	a.log.WarnContext(ctx, "money not returned", "attempt", row.Attempts, "next_attempt_at", next, "error", s.failure)
	_, err = a.change(ctx, tx, &row, failed)
	return err
}

// putOff takes back an attempt that the breaker refused: the gateway has heard nothing of
// it, and the attempts of a refund are for what the gateway says. So an hour in which
// nobody can be asked costs it none.
func (a *App) putOff(ctx context.Context, tx pgx.Tx, row db.Payment, s step) error {
	next := a.now().Add(s.refused + probeCourtesy)
	row.NextAttemptAt = &next
	row.Attempts = max(row.Attempts-1, 0) // 0: an operator has begun a new round meanwhile
	if row.LastError == "" {
		row.LastError = s.failure // else what the gateway said last tells more
	}
	a.log.DebugContext(ctx, "money not returned: put off, nobody was asked", "next_attempt_at", next, "error", s.failure)
	_, err := a.change(ctx, tx, &row, step{orderID: s.orderID, failure: s.failure})
	return err
}

// overdue tells whether the round of attempts has lasted longer than refusals excuse.
func (a *App) overdue(row db.Payment) bool {
	since := row.CreatedAt
	if row.ReturningSince != nil {
		since = *row.ReturningSince
	}
	return !since.After(a.now().Add(-a.refunds.Deadline))
}

// spent tells whether to say that the allowed attempts brought no answer. A void goes on
// after that, so it is said once a round: attention remembers that it was.
func (a *App) spent(row db.Payment) bool {
	told := payment.State(row.State) == payment.Voiding && row.Attention != ""
	return int(row.Attempts) >= a.refunds.MaxAttempts && !told
}

// backoff is the wait after the nth attempt. The jitter, up to a quarter, keeps refunds
// that failed together from coming back together.
func (a *App) backoff(n int32) time.Duration {
	wait := a.refunds.BackoffBase
	for i := int32(1); i < n && wait < a.refunds.BackoffMax; i++ {
		wait *= 2
	}
	return min(wait+rand.N(wait/4+1), a.refunds.BackoffMax)
}

func (a *App) count(ctx context.Context) {
	n, err := db.New(a.pool).CountOpen(ctx)
	if err != nil {
		return // the claim reports a database that is away
	}
	a.metrics.returning.Set(float64(n.DueBack))
	a.metrics.attention.Set(float64(n.Attention))
}
