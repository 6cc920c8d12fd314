package cli

import (
	"fmt"
	"strings"
	"time"

	"eventshop.example/cmd/shop/internal/term"
	"eventshop.example/ops/saga"
	"eventshop.example/ops/story"
)

// printFailures lists the order's retries and dead letters.
func (o *operator) printFailures(s story.Story, began time.Time) error {
	var rows [][]string
	for _, r := range s.Retries {
		what := fmt.Sprintf("retry after %s", plural(r.Attempts, "failure", "failures"))
		if r.Resubmit {
			what = "resubmitted"
		}
		rows = append(rows, []string{moment(r.At, began), harmless(r.Group, 20), harmless(r.Type, 40), what, harmless(r.Error, 80)})
	}
	for _, d := range s.DeadLetters {
		rows = append(rows, []string{moment(d.CreatedAt, began), harmless(d.Group, 20), harmless(d.EventType, 40),
			"dead letter " + harmless(d.ID, 36) + ", " + harmless(string(d.Status), 20), harmless(d.ErrorMessage, 80)})
	}
	if len(rows) == 0 {
		return nil
	}
	fmt.Fprintln(o.out)
	return table(o.out, "FAILED SERVICE EVENT OUTCOME ERROR", rows)
}

// printSentences prints what the order waits for, wrapped to the width.
func (o *operator) printSentences(s story.Story) error {
	var rows [][]string
	for _, text := range sentences(s) {
		rows = append(rows, []string{text})
	}
	return term.Columns(o.out, []string{""}, rows)
}

// sentences describe what the order waits for and what else holds it.
func sentences(s story.Story) []string {
	var out []string
	for _, w := range s.WaitsFor {
		out = append(out, waitsFor(w, s.At))
	}
	if len(out) == 0 {
		switch {
		case s.Ended:
			out = append(out, "waits for: nothing, the order has ended")
		case len(s.Missing) > 0:
			out = append(out, "waits for: not known, because not all services answered")
		default:
			out = append(out, "waits for: nothing known")
		}
	}
	for _, text := range holdsOf(s.HeldBy, s.At) {
		out = append(out, "held by: "+text)
	}
	return out
}

// waitsFor describes one wait: "waits for: payment to answer OrderCreated (breaker gateway is open,
// next try in 12s); to be confirmed in 3m10s".
func waitsFor(w story.Wait, now time.Time) string {
	service, what := harmless(w.Service, 20), harmless(w.Event, 40)
	var b strings.Builder
	b.WriteString("waits for: ")
	switch w.To {
	case story.ToPublish:
		fmt.Fprintf(&b, "the relay of %s to publish %s", service, what)
	case story.ToAnswer:
		fmt.Fprintf(&b, "%s to answer %s", service, what)
		if w.N == 0 {
			b.WriteString(", which is not there")
		}
	case story.ToRetry:
		b.WriteString("an operator to have the refund tried again by shop saga retry")
	default:
		fmt.Fprintf(&b, "the %s to %s", service, w.To)
	}
	var because []string
	for _, h := range grouped(w.Because) {
		text := held(h, now)
		if h.Group != w.Service && h.Kind != saga.NotRelayed && h.Kind != saga.RefundFailed {
			text = hold(h, now)
		}
		because = append(because, text)
	}
	if len(because) > 0 {
		fmt.Fprintf(&b, " (%s)", strings.Join(because, "; "))
	}
	if w.By != nil {
		if w.By.After(now) {
			fmt.Fprintf(&b, "; its deadline passes in %s", span(w.By.Sub(now)))
		} else {
			fmt.Fprintf(&b, "; its deadline passed %s ago", span(now.Sub(*w.By)))
		}
	}
	return b.String()
}
