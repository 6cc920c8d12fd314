package app

import (
	"context"
	"time"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/reaction"
	"eventshop.example/services/notification/internal/db"
	"eventshop.example/services/notification/notification"
)

// Input is one input for the mail about an order, with the data of an event or of an attempt.
type Input struct {
	Kind notification.Input

	Order    notification.Order // of an event; zero when the order service was not asked
	Style    notification.Style // of the event
	PlacedAt time.Time          // of the event

	Code  string        // of a refusal
	Error string        // of a failed attempt
	Wait  time.Duration // from a failed attempt to the next
}

// decide applies an input to a mail. It is pure.
func (a *App) decide(row db.Mail, s reaction.Step[Input]) (reaction.Decision[db.Mail], error) {
	before := notification.State(row.State)
	d := notification.Decide(before, s.Input.Kind)
	if d.Effect == notification.AskOrder {
		if s.Input.Order.ID == "" {
			return reaction.Decision[db.Mail]{}, errs.New(errs.Transient,
				"the mail about order %s became %q after the order service was left alone; asking it next time", s.Key, before)
		}
		d = notification.Decide(before, notification.OrderShown)
	}
	out := reaction.Decision[db.Mail]{State: row}
	if d.Next != before || d.Action == notification.Wait {
		out.Changed = true
		record(&out.State, before, d.Next, s)
	}
	out.Committed = func(ctx context.Context) {
		a.metrics.decided(s.Input.Kind, d.Action)
		a.log.DebugContext(ctx, "mail decided", "input", s.Input.Kind, "action", d.Action, "status", d.Next)
		switch {
		case d.Next == before:
		case d.Next == notification.ToSend:
			a.written.Add(1)
			a.wakeWorker()
		case d.Next == notification.Refused:
			a.log.WarnContext(ctx, "a mail was refused for good", "reason", s.Input.Code)
		case d.Next == notification.Sent:
			a.log.InfoContext(ctx, "mail sent", "style", row.Style, "attempts", row.Attempts)
		}
	}
	return out, nil
}

// record sets the row to a decision's state and adds the data of the step.
func record(row *db.Mail, before, next notification.State, s reaction.Step[Input]) {
	row.State, row.UpdatedAt = string(next), s.At
	switch {
	case next == notification.ToSend && before != notification.ToSend:
		m := notification.Compose(s.Input.Order)
		row.Style, row.CustomerID = string(s.Input.Style), s.Input.Order.CustomerID
		row.Recipient, row.Subject, row.Body = m.To, m.Subject, m.Text
		row.Traceparent, row.Tracestate = s.Cause.TraceParent, s.Cause.TraceState
		placed := s.Input.PlacedAt.UTC()
		row.PlacedAt, row.NextAttemptAt = &placed, &s.At
	case next == notification.ToSend: // an attempt failed
		due := s.At.Add(s.Input.Wait)
		row.NextAttemptAt, row.LastError = &due, s.Input.Error
	case next.Ended():
		row.NextAttemptAt, row.EndedAt, row.Reason, row.LastError = nil, &s.At, s.Input.Code, ""
	}
}
