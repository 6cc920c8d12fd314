package saga

import (
	"context"
	"fmt"
	"time"

	"eventshop.example/cmd/shop/internal/ops"
)

// holds is what the operator APIs know to hold orders up.
type holds struct {
	byOrder  map[string][]Hold // dead letters and parked keys by their key
	breakers map[string][]Hold // those that do not let calls through, by service
	failed   []error
}

func (s *Shop) holds(ctx context.Context) holds {
	h := holds{byOrder: map[string][]Hold{}, breakers: map[string][]Hold{}}
	letters := ops.ListAll(ctx, s.fleet.Groups, ops.Filter{}, 0)
	h.failed = append(h.failed, ops.Failures(letters)...)
	dead := map[string]bool{}
	for _, a := range letters {
		for _, d := range a.Value.DeadLetters {
			dead[d.ID] = true
			h.byOrder[d.Key] = append(h.byOrder[d.Key], letterHold(a.From, d))
		}
	}
	parked := ops.AskAll(ctx, s.fleet.Groups, func(ctx context.Context, c *ops.Client) ([]ops.ParkedKey, error) {
		return c.Parked(ctx, ops.MaxPage)
	})
	for _, a := range parked {
		for _, k := range a.Value {
			if !dead[k.Head] { // else said already
				h.byOrder[k.Key] = append(h.byOrder[k.Key], parkedHold(a.From, k))
			}
		}
		if len(a.Value) == ops.MaxPage {
			h.failed = append(h.failed, fmt.Errorf("%s has more parked keys than the %d it lists", a.From, ops.MaxPage))
		}
	}
	breakers := ops.AskEach(ctx, s.fleet.Groups, func(ctx context.Context, c *ops.Client) ([]ops.Breaker, error) { return c.Breakers(ctx) })
	service := map[string]string{}
	for _, g := range s.fleet.Groups {
		for _, p := range g.Processes {
			service[p.Name] = g.Name
		}
	}
	for _, a := range breakers {
		for _, b := range a.Value {
			if !b.Closed() {
				h.breakers[service[a.From]] = append(h.breakers[service[a.From]], s.breakerHold(a.From, b))
			}
		}
	}
	return h
}

func letterHold(group string, d ops.Summary) Hold {
	return Hold{Kind: DeadLetter, Group: group, ID: d.ID, Topic: d.Topic, Type: d.EventType, Detail: d.ErrorMessage}
}

func parkedHold(group string, k ops.ParkedKey) Hold {
	h := Hold{Kind: ParkedKey, Group: group, Topic: k.Topic, Type: k.EventType, Detail: k.LastError}
	switch k.State {
	case ops.Retrying:
		h.Next = &k.NotBefore
	case ops.Dead:
		h.ID = k.Head
	}
	return h
}

func (s *Shop) breakerHold(process string, b ops.Breaker) Hold {
	next := s.now().Add(time.Duration(b.RetryAfterMS) * time.Millisecond)
	return Hold{Kind: BreakerOpen, Group: process, Type: b.Name, Detail: b.State, Next: &next}
}
