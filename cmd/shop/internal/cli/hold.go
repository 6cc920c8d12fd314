package cli

import (
	"fmt"
	"strings"
	"time"

	"eventshop.example/ops/quote"
	"eventshop.example/ops/saga"
)

// hold describes what holds an order, and for how long if that is known.
func hold(h saga.Hold, now time.Time) string { return h.Group + ": " + held(h, now) }

// held describes a hold without its group.
func held(h saga.Hold, now time.Time) string {
	next := ""
	if h.Next != nil {
		next = ", next try " + until(*h.Next, now)
	}
	types := harmless(h.Type, 40)
	if several(h.Type) { // with several holds, each name has the length of a single one
		types = harmless(h.Type, 200)
	}
	switch h.Kind {
	case saga.DeadLetter:
		return fmt.Sprintf("%s %s, %s%s", word(h.ID, "dead letter", "dead letters"), harmless(h.ID, 0), types, detail(h.Detail))
	case saga.ParkedKey:
		if h.ID != "" {
			return fmt.Sprintf("key parked behind %s %s%s", word(h.ID, "dead letter", "dead letters"), harmless(h.ID, 0), detail(h.Detail))
		}
		return fmt.Sprintf("%s failed and %s tried again%s%s", types, word(h.Type, "is", "are"), next, detail(h.Detail))
	case saga.RefundFailed:
		return fmt.Sprintf("refund failed%s", detail(h.Detail))
	case saga.Returning:
		what := "refund is tried again"
		if h.Type == "VOIDING" {
			what = "charge is being stopped"
		}
		return fmt.Sprintf("%s, %s failed%s%s", what, plural(h.Attempts, "attempt", "attempts"), next, detail(h.Detail))
	case saga.BreakerOpen:
		return fmt.Sprintf("breaker %s is %s%s", harmless(h.Type, 40), harmless(h.Detail, 40), next)
	case saga.CallsFail:
		return fmt.Sprintf("calls to the %s fail, %s in a row%s", harmless(h.Type, 40), plural(h.Attempts, "one", "of them"), detail(h.Detail))
	case saga.NotRelayed:
		why := detail(h.Detail)
		if why == "" {
			why = ": no relay publishes it"
		}
		return fmt.Sprintf("%s %s not on %s yet%s%s", types, word(h.Type, "is", "are"), harmless(h.Topic, 0), next, why)
	case saga.Late:
		if h.Type == "" {
			return fmt.Sprintf("no event for %s; shop order shows what it waits for", since(*h.Since, now))
		}
		return fmt.Sprintf("no answer to %s for %s", types, since(*h.Since, now))
	case saga.Asks:
		return fmt.Sprintf("%s and asks for attention%s", harmless(h.Type, 40), detail(h.Detail))
	}
	return harmless(h.Kind, 40) + detail(h.Detail)
}

// word selects the singular or the plural by the length of a list.
func word(list, one, many string) string {
	if several(list) {
		return many
	}
	return one
}

// harmless prepares text of a record, an answer or an error for one line of a terminal. It cuts the
// text after most characters; 0 is no limit. It quotes text with characters that could control a
// terminal. Line breaks and tabs become spaces, "" becomes "-".
func harmless(s string, most int) string {
	words := strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' || r == '\t' })
	return line(quote.Full(strings.Join(words, " ")), most)
}
