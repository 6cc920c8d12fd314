package app

import (
	"cmp"
	"context"
	"fmt"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/reaction"
	"eventshop.example/services/inventory/internal/db"
)

// firstStyles returns the style of the first step of each order. A row that does not exist yet begins
// with it, and never changes it.
func firstStyles(steps []reaction.Step[Input]) map[string]event.Style {
	styles := map[string]event.Style{}
	for _, s := range steps {
		styles[s.Key] = cmp.Or(styles[s.Key], s.Cause.Style)
	}
	for key, style := range styles {
		styles[key] = cmp.Or(style, event.Choreographed)
	}
	return styles
}

// contradicts reports whether a step has another style than the order of the row. Such a step must not
// move pieces: another record starts the same step in the order's own style.
func contradicts(row db.Reservation, cause outbox.Cause) bool {
	return event.Style(row.SagaStyle).Contradicts(cause.Style)
}

// askForAttention decides about a step that contradicts the style of its order. The row keeps the first
// reason, so a record that comes again changes nothing.
func (a *App) askForAttention(r Reservation, s reaction.Step[Input]) reaction.Decision[Reservation] {
	reason := fmt.Sprintf("%s with the style %s, and the order is %s", s.Input.Kind, s.Cause.Style, r.row.SagaStyle)
	out := reaction.Decision[Reservation]{Changed: r.row.Attention == ""}
	if out.Changed {
		r.row.Attention, r.row.UpdatedAt = reason, s.At
	}
	out.State = r
	out.Committed = func(ctx context.Context) {
		a.log.WarnContext(ctx, "reservation needs attention", "cause", s.Input.Kind, "reason", reason)
	}
	return out
}
