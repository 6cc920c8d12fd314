package app

import (
	"context"
	"strings"
	"time"

	"eventshop.example/pkg/backoff"
	"eventshop.example/pkg/reaction"
	"eventshop.example/services/payment/internal/db"
	"eventshop.example/services/payment/payment"
)

// Failure is why the last call of an attempt to return money got no answer.
type Failure struct {
	Text    string
	Refused time.Duration // the wait that the breaker asks for, when it refused the call
	// Jitter is from [0, 1). It spreads the next attempts of refunds that failed at the same time.
	// The worker draws it, because decisions draw no random numbers.
	Jitter float64
}

// failAttempt decides what follows an attempt that failed: it is due again later, or was the last
// one.
func (a *App) failAttempt(c *change, s reaction.Step[Input]) error {
	f := s.Input.Failure
	pause := backoff.Policy{Base: a.refunds.BackoffBase, Max: a.refunds.BackoffMax, Jitter: 0.25}
	wait := pause.WaitAt(int(c.row.Attempts)-1, f.Jitter)
	if f.Refused > 0 {
		wait = max(wait, f.Refused+probeCourtesy)
		if !a.overdue(c.row, s.At) {
			a.putOff(c, s)
			return nil
		}
	}
	next := s.At.Add(wait)
	c.row.LastError, c.row.NextAttemptAt = f.Text, &next
	attempt := c.row.Attempts
	c.afterCommit(func(ctx context.Context) {
		a.log.WarnContext(ctx, "money not returned", "attempt", attempt, "nextAttemptAt", next, "error", f.Text)
	})
	if !a.spent(c.row) {
		return nil
	}
	return a.apply(c, s, []payment.Input{payment.AttemptsSpent})
}

// putOff takes back an attempt that the breaker refused, because the gateway received no request.
// So a refund loses no attempts while the gateway cannot be called, until its Deadline has passed.
func (a *App) putOff(c *change, s reaction.Step[Input]) {
	f := s.Input.Failure
	next := s.At.Add(f.Refused + probeCourtesy)
	c.row.NextAttemptAt = &next
	c.row.Attempts = max(c.row.Attempts-1, 0) // 0: an operator has started a new round meanwhile
	if c.row.LastError == "" {
		c.row.LastError = f.Text // otherwise the gateway's last answer is more useful
	}
	c.afterCommit(func(ctx context.Context) {
		a.log.DebugContext(ctx, "money not returned: put off, the gateway was not asked", "nextAttemptAt", next, "error", f.Text)
	})
}

// overdue reports whether the round of attempts is older than Deadline, so that refused attempts
// count.
func (a *App) overdue(row db.Payment, now time.Time) bool {
	since := row.CreatedAt
	if row.ReturningSince != nil {
		since = *row.ReturningSince
	}
	return !since.After(now.Add(-a.refunds.Deadline))
}

// spent reports whether the step has to record that the allowed attempts are used up. A void
// continues after that, so it is recorded once per round; the field Attention shows that it was. (It may also
// show that a record has contradicted the style of the saga.)
func (a *App) spent(row db.Payment) bool {
	reported := payment.State(row.State) == payment.Voiding && strings.Contains(row.Attention, noAnswer)
	return int(row.Attempts) >= a.refunds.MaxAttempts && !reported
}
