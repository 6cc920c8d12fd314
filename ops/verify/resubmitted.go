package verify

import (
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// resubmissions is I11: a dead letter has one effect, however often it is resubmitted. Its audit
// trail must be possible, each round of attempts must have been requested, and its effects must
// exist once.
func resubmissions(f Facts) Finding {
	r := Finding{Invariant: "I11", Title: "a dead letter resubmitted n times has one effect"}
	rounds := map[uuid.UUID]map[int]map[uuid.UUID]bool{} // dead letter → attempt → retries
	for _, retry := range f.Retries {
		if retry.DeadLetter == uuid.Nil || retry.Skip {
			continue
		}
		of := rounds[retry.DeadLetter]
		if of == nil {
			of = map[int]map[uuid.UUID]bool{}
			rounds[retry.DeadLetter] = of
		}
		if of[retry.Attempts] == nil {
			of[retry.Attempts] = map[uuid.UUID]bool{}
		}
		of[retry.Attempts][retry.ID] = true
	}
	effects := map[cause][]OutboxRow{}
	for _, row := range f.Outbox {
		if row.CausationID != "" && row.Type != "PaymentRefundFailed" { // as in I5
			effects[cause{row.Service, row.CausationID}] = append(effects[cause{row.Service, row.CausationID}], row)
		}
	}
	resubmitted := 0
	for i := range f.DeadLetters {
		l := &f.DeadLetters[i]
		asked := count(l, "resubmitted")
		resubmitted += asked
		if err := trail(l); err != nil {
			r.breach("order %s: dead letter %s of group %s: %v", shown(l.Key), l.ID, l.Group, err)
			continue
		}
		for attempts, retries := range rounds[l.ID] {
			// A round makes each attempt at most once.
			if len(retries) > asked {
				r.breach("order %s: dead letter %s of group %s was resubmitted %d times and has %d retries after %d attempts",
					shown(l.Key), l.ID, l.Group, asked, len(retries), attempts)
				break
			}
		}
		// A repaired record may be an event with another id: then I5 sees two causes.
		if l.Repaired == nil || l.EventID == uuid.Nil || l.Repaired.ID == l.EventID {
			continue
		}
		for _, a := range effects[cause{l.Service, l.EventID.String()}] {
			for _, b := range effects[cause{l.Service, l.Repaired.ID.String()}] {
				if a.Topic == b.Topic && a.Type == b.Type && a.AggregateID == b.AggregateID {
					r.breach("order %s: dead letter %s had its effect in group %s as event %s and as event %s: %s %s and %s",
						a.AggregateID, l.ID, l.Group, l.EventID, l.Repaired.ID, a.Type, a.ID, b.ID)
				}
			}
		}
	}
	r.Counted = fmt.Sprintf("%d dead letters, %d resubmissions", len(f.DeadLetters), resubmitted)
	return r
}

func count(l *DeadLetter, action string) int {
	n := 0
	for _, a := range l.Actions {
		if a.Action == action {
			n++
		}
	}
	return n
}

// trail replays a dead letter's audit trail. It returns an error for an impossible step, or if the
// trail ends in another state than the dead letter's.
func trail(l *DeadLetter) error {
	status := ""
	for i, a := range l.Actions {
		next := status
		switch {
		case a.Action == "dead_lettered" && i == 0:
			next = "open"
		case a.Action == "edited" && status == "open":
		case a.Action == "resubmitted" && status == "open":
			next = "resubmitted"
		case a.Action == "resubmitted_again" && status != "open" && status != "":
		case a.Action == "failed_again" && status == "resubmitted":
			next = "open"
		case a.Action == "resolved" && status == "resubmitted":
			next = "resolved"
		case a.Action == "discarded" && status == "open":
			next = "discarded"
		default:
			if status == "" {
				return errors.New("its audit trail does not begin with its being dead-lettered")
			}
			return errors.New(string(tell("it was %s (by %s) while it was %s", a.Action, a.Actor, status)))
		}
		status = next
	}
	if status != l.Status {
		return errors.New(string(tell("its audit trail leaves it %s, and it is %s", status, l.Status)))
	}
	return nil
}
