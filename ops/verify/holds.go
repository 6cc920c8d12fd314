package verify

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// Hold is why an order does not continue in one group.
type Hold struct {
	Order, Group string
	DeadLetter   uuid.UUID // zero while its record is only being retried
	Discarded    bool      // an operator has decided: the order continues without the event
	What         string    // for people
}

// Holds returns what keeps orders from continuing: parked keys, and dead letters of an order's own
// events. A record with an order's key that is no event of the order holds nothing.
func Holds(f Facts) []Hold {
	known := map[string]bool{}
	for _, o := range f.Orders {
		known[o.ID] = true
	}
	home := map[uuid.UUID]string{} // event → order
	for _, row := range f.Outbox {
		if !row.Raw {
			home[row.ID] = row.AggregateID
		}
	}
	inbox, h := received(f), hold(f)
	var out []Hold
	for _, k := range f.ParkedKeys {
		r := h.retries[k.Head]
		if known[k.Key] && k.State == "retrying" && r.DeadLetter == uuid.Nil {
			out = append(out, Hold{Order: k.Key, Group: k.Group, What: string(tell("order %s: %s retries %s", k.Key, k.Group, k.Topic))})
		}
	}
	for _, l := range f.DeadLetters {
		order := l.Key
		if !l.Parks {
			// The group may have received its event in another copy.
			if order = home[l.EventID]; inbox[receipt{l.Group, l.EventID}] {
				order = ""
			}
		}
		if !known[order] || l.Status == "resolved" {
			continue
		}
		out = append(out, Hold{
			Order: order, Group: l.Group, DeadLetter: l.ID, Discarded: l.Status == "discarded",
			What: string(tell("order %s: %s has %s %s as dead letter %s", order, l.Group, l.Status, l.Type, l.ID)),
		})
	}
	at := map[Place]string{}
	for _, rec := range f.Records {
		at[rec.Place()] = rec.Key
	}
	for _, g := range f.GivenUp {
		// The record has no dead letter, or none any more, and the order waits for ever for an
		// event that its group does not receive.
		order := g.Key
		if g.DeadLetter == uuid.Nil {
			order = at[g.Place]
		}
		if g.Decision == "discarded" && known[order] && h.letters[g.DeadLetter] == nil {
			out = append(out, Hold{
				Order: order, Group: g.Group, DeadLetter: g.DeadLetter, Discarded: true,
				What: string(tell("order %s: %s has discarded %s as dead letter %s", order, g.Group, g.Place, g.DeadLetter)),
			})
		}
	}
	return out
}

// holding returns the orders of which the given groups have not handled everything: the effects of
// the rest cannot be expected then. Without groups, it checks all groups of the saga.
func holding(f Facts, groups ...string) map[string]bool {
	orders := map[string]bool{}
	for _, hold := range Holds(f) {
		asked := len(groups) == 0 && inSaga(hold.Group)
		for _, g := range groups {
			asked = asked || g == hold.Group
		}
		if asked {
			orders[hold.Order] = true
		}
	}
	return orders
}

// Held returns one line that names the orders that failed events hold, and the reason of each in a
// line of its own. The line is "" if there are none. Orders that continue because an operator
// discarded the event are not included.
func Held(f Facts) (line string, why []string) {
	orders := map[string]bool{}
	var letters []string
	retrying := 0
	for _, h := range Holds(f) {
		if h.Discarded {
			continue
		}
		orders[h.Order] = true
		why = append(why, h.What)
		if h.DeadLetter == uuid.Nil {
			retrying++
		} else {
			letters = append(letters, h.DeadLetter.String())
		}
	}
	if len(orders) == 0 {
		return "", nil
	}
	slices.Sort(letters)
	if n := len(letters); n == 0 {
		letters = append(letters, "none")
	} else if n > 3 {
		letters = append(letters[:3], fmt.Sprintf("and %d more", n-3))
	}
	return fmt.Sprintf("held: %d orders (dead letters: %s; retries: %d)", len(orders), strings.Join(letters, ", "), retrying), why
}
