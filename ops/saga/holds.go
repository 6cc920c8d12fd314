package saga

import (
	"context"
	"fmt"
	"time"

	"eventshop.example/ops/operators"
)

// holds are the reasons, from the operator APIs, why orders wait.
type holds struct {
	byOrder  map[string][]Hold // dead letters and parked keys by their key, and sagas that ask for attention
	asking   map[string]bool   // orders whose saga asks for attention
	breakers map[string][]Hold // breakers that do not let calls through, by service
	failing  map[string][]Hold // calls that fail and are let through, by service
	failed   []error
}

// holds collects them. A key selects those of one order, "" those of all orders.
func (s *Shop) holds(ctx context.Context, key string) holds {
	h := holds{byOrder: map[string][]Hold{}, asking: map[string]bool{}, breakers: map[string][]Hold{}, failing: map[string][]Hold{}}
	letters := operators.ListAll(ctx, s.fleet.Groups, operators.Filter{Key: key}, 0)
	h.failed = append(h.failed, operators.Failures(letters)...)
	dead := map[string]bool{}
	for _, a := range letters {
		for _, d := range a.Value.DeadLetters {
			dead[d.ID] = true
			h.byOrder[d.KeyText()] = append(h.byOrder[d.KeyText()], letterHold(a.From, d))
		}
	}
	parked := operators.AskAll(ctx, s.fleet.Groups, func(ctx context.Context, c *operators.Client) ([]operators.ParkedKey, error) {
		if key != "" {
			return c.ParkedOf(ctx, key)
		}
		return c.Parked(ctx, operators.MaxPage)
	})
	for _, a := range parked {
		for _, k := range a.Value {
			if order := k.KeyText(); !dead[k.Head] { // otherwise its dead letter is listed
				h.byOrder[order] = append(h.byOrder[order], parkedHold(a.From, k))
			}
		}
		if len(a.Value) == operators.MaxPage {
			h.failed = append(h.failed, fmt.Errorf("%s has more parked keys than the %d it lists", a.From, operators.MaxPage))
		}
	}
	breakers := operators.AskEach(ctx, s.fleet.Groups, func(ctx context.Context, c *operators.Client) ([]operators.Breaker, error) { return c.Breakers(ctx) })
	service := map[string]string{}
	for _, g := range s.fleet.Groups {
		for _, p := range g.Processes {
			service[p.Name] = g.Name
		}
	}
	for _, a := range breakers {
		for _, b := range a.Value {
			of := service[a.From]
			switch {
			case !b.Closed():
				h.breakers[of] = append(h.breakers[of], s.breakerHold(a.From, b))
			case b.Failures > 0:
				h.failing[of] = append(h.failing[of], Hold{Kind: CallsFail, Group: a.From, Type: b.Name, Detail: b.LastFault, Attempts: int(b.Failures)})
			}
		}
	}
	s.relayHolds(ctx, key, &h)
	s.coordinatedHolds(ctx, key, &h)
	return h
}

func letterHold(group string, d operators.Summary) Hold {
	return Hold{Kind: DeadLetter, Group: group, ID: d.ID, Topic: d.Topic, Type: d.EventType, Detail: d.ErrorMessage}
}

func parkedHold(group string, k operators.ParkedKey) Hold {
	h := Hold{Kind: ParkedKey, Group: group, Topic: k.Topic, Type: k.EventType, Detail: k.LastError, Attempts: int(k.Attempts)}
	switch k.State {
	case operators.Retrying:
		h.Next = &k.NotBefore
	case operators.Dead:
		h.ID = k.Head
	}
	return h
}

func (s *Shop) breakerHold(process string, b operators.Breaker) Hold {
	next := s.now().Add(time.Duration(b.RetryAfterMs) * time.Millisecond)
	return Hold{Kind: BreakerOpen, Group: process, Type: b.Name, Detail: string(b.State), Attempts: int(b.Failures), Next: &next}
}
