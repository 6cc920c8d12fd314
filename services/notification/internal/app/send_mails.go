package app

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/backoff"
	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/reaction"
	"eventshop.example/pkg/telemetry"
	"eventshop.example/services/notification/internal/db"
	"eventshop.example/services/notification/internal/mailbox"
	"eventshop.example/services/notification/notification"
)

const (
	// mailsAtOnce is the number of mails that a round claims, sends at the same time and records in one
	// transaction.
	mailsAtOnce = 16
	// firstLook is the pause before the second look for a mail that this process has written. The first
	// look skips a mail whose row the consumer has locked for the order's other event. The pauses double
	// from here to Poll.
	firstLook = 2 * time.Millisecond
	// maxTrouble bounds the pause while the database is unavailable.
	maxTrouble = 5 * time.Second
	// countEvery is the minimum time between two updates of the gauges.
	countEvery = 5 * time.Second
	// clockMargin is the allowed difference between the clocks of processes. The lease of a process
	// whose clock is ahead by less is respected.
	clockMargin = time.Minute
)

// SendMails is the worker that sends mails. It runs until ctx ends, and several replicas may run it. A
// worker claims each attempt by a lease. When its process dies, the attempt is due again after the
// lease, with the same key and the same mail. SendMails always returns nil. It logs and counts
// failures and tries again.
//
// When ctx ends, the worker finishes its current attempts. The provider may carry out an abandoned
// request, and another process would then have to find out.
func (a *App) SendMails(ctx context.Context) error {
	failures, look, failing := 0, firstLook, backoff.Policy{Base: a.sending.Poll, Max: maxTrouble}
	var counted time.Time
	for {
		pause := a.sending.Poll
		n, err := a.sendRound(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			failures++
			pause = failing.Wait(failures)
			a.log.WarnContext(ctx, "mails not sent or not recorded; trying again", "error", err, "pause", pause.String())
		case n == mailsAtOnce:
			failures, pause = 0, 0 // more may be due
		case a.missed(n) && look < a.sending.Poll:
			failures, pause, look = 0, look, 2*look
		default:
			failures, look = 0, firstLook
			a.written.Store(0) // another process has claimed them, or will
		}
		if now := time.Now(); now.Sub(counted) > countEvery && err == nil {
			counted = now
			a.count(ctx)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-a.wake:
			timer.Stop()
			look = firstLook
		case <-timer.C:
		}
	}
}

// missed reports whether this process has written mails that it has not claimed after claiming n more.
func (a *App) missed(n int) bool { return a.written.Add(-int64(n)) > 0 }

// sendRound claims mails, sends them, and records the results. It returns the number of mails.
func (a *App) sendRound(ctx context.Context) (int, error) {
	rows, err := a.claim(ctx)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.sending.Lease)
	defer cancel()
	steps := make([]reaction.Step[Input], len(rows))
	var attempts sync.WaitGroup
	for i, row := range rows {
		attempts.Go(func() {
			ctx := telemetry.Continue(telemetry.With(ctx, row.OrderID, "", row.CorrelationID), row.Traceparent, row.Tracestate)
			in := a.attempt(ctx, row)
			cause := outbox.Cause{CorrelationID: row.CorrelationID}
			cause.TraceParent, cause.TraceState = telemetry.Trace(ctx)
			steps[i] = a.Mails.Step(row.OrderID, in, cause)
		})
	}
	attempts.Wait()
	var decisions []reaction.Decision[db.Mail]
	err = postgres.InTx(ctx, a.pool, func(tx pgx.Tx) (err error) {
		decisions, err = a.Mails.Run(ctx, tx, steps...)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("record %d attempts, which are due again when their lease ends: %w", len(rows), err)
	}
	for i, d := range decisions {
		reaction.Committed(telemetry.With(ctx, rows[i].OrderID, "", rows[i].CorrelationID), d)
	}
	return len(rows), nil
}

// claim claims due mails for this process, for the length of a lease. While the circuit breaker
// refuses calls it claims none, so that an outage does not write the rows again and again.
func (a *App) claim(ctx context.Context) ([]db.Mail, error) {
	if a.mailbox.Wait() > 0 {
		return nil, nil
	}
	now := a.now()
	lease := now.Add(a.sending.Lease)
	rows, err := db.New(a.pool).ClaimMails(ctx, db.ClaimMailsParams{
		Now: &now, LeaseUntil: &lease, Most: mailsAtOnce,
		BeyondEveryWait: now.Add(max(a.sending.BackoffMax, a.sending.Lease) + clockMargin),
	})
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("claim mails: %w", err))
	}
	return rows, nil
}

// attempt sends one mail and returns the result as an input.
func (a *App) attempt(ctx context.Context, row db.Mail) Input {
	answer, err := a.mailbox.Send(ctx, notification.Key(row.OrderID), mailbox.Mail{
		OrderID: row.OrderID, CustomerID: row.CustomerID, To: row.Recipient, Subject: row.Subject, Text: row.Body,
	})
	switch {
	case err == nil && answer.Refused:
		return Input{Kind: notification.MailRefused, Code: answer.Code}
	case err == nil:
		return Input{Kind: notification.MailAccepted}
	}
	wait := a.wait(int(row.Attempts))
	if mailbox.IsRefused(err) { // the provider received nothing
		wait, _ = errs.RetryAfter(err)
	} else {
		a.log.DebugContext(ctx, "mail not sent; trying again", "error", err, "attempts", row.Attempts)
	}
	return Input{Kind: notification.SendFailed, Error: mailbox.Tidy(err.Error()), Wait: min(wait, a.sending.BackoffMax)}
}

// wait returns the pause after a number of attempts.
func (a *App) wait(attempts int) time.Duration {
	// The jitter spreads the attempts of mails that failed together, also when the wait grows no more.
	p := backoff.Policy{Base: a.sending.BackoffBase, Max: a.sending.BackoffMax, Jitter: 0.25, Plateau: a.sending.BackoffMax * 4 / 5}
	return p.Wait(attempts - 1)
}

func (a *App) count(ctx context.Context) {
	n, err := db.New(a.pool).CountMails(ctx)
	if err != nil {
		return // claim reports an unavailable database
	}
	a.metrics.toSend.Set(float64(n.ToSend))
	a.metrics.awaiting.Set(float64(n.Awaiting))
}
