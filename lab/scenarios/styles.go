package scenarios

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"eventshop.example/ops/jsonhttp"
	"eventshop.example/pkg/event"
)

// orchestrationWithin is how long the order service takes at most to see that every participant knows
// both styles: it asks every few seconds, and the shop may have started just now.
const orchestrationWithin = 30 * time.Second

// bothStyles places an order of each style. The same participants confirm both: one because the
// orchestrator commands it, the other because they react to each other's events.
func bothStyles(ctx context.Context, s *shop, customer string) (string, error) {
	var ids []string
	for _, style := range []event.Style{event.Orchestrated, event.Choreographed} {
		id, err := s.placeOnceOpen(ctx, customer, style)
		if err != nil {
			return "", err
		}
		ids = append(ids, id)
	}
	got, paid := "", int64(0)
	for i, id := range ids {
		status, err := s.await(ctx, id, "CONFIRMED", "CANCELLED")
		if err != nil {
			return status, err
		}
		commands, err := s.commands(ctx, id)
		if err != nil {
			return "", err
		}
		b, err := s.books(ctx, id)
		if err != nil {
			return "", err
		}
		paid += b.net()
		got += fmt.Sprintf("%s %s by %s, ", []event.Style{event.Orchestrated, event.Choreographed}[i], status, commands)
	}
	return got + "paid " + string(pounds(paid)), nil
}

// placeOnceOpen places an order of a style. The service refuses orchestrated ones until it has seen every
// participant.
func (s *shop) placeOnceOpen(ctx context.Context, customer string, style event.Style) (id string, err error) {
	ctx, cancel := context.WithTimeout(ctx, orchestrationWithin)
	defer cancel()
	err = eventually(ctx, "an order of the "+string(style)+" saga is accepted", func() (bool, error) {
		id, err = s.placeStyled(ctx, customer, style, 0, line{widget, 1, 2999})
		if jsonhttp.StatusOf(err) == http.StatusConflict {
			return false, nil
		}
		return true, err
	})
	return id, err
}

// commands reports the commands of an order's saga, and returns their number in words.
func (s *shop) commands(ctx context.Context, orderID string) (string, error) {
	var saga struct {
		Log []struct{ Input, Command string }
	}
	err := s.call(ctx, http.MethodGet, s.Orchestrator+"/sagas/"+orderID, nil, &saga)
	switch {
	case jsonhttp.StatusOf(err) == http.StatusNotFound:
		return "none", nil
	case err != nil:
		return "", err
	}
	n := 0
	for _, l := range saga.Log {
		if l.Command != "" {
			s.say("%s: the orchestrator sends %s", l.Input, l.Command)
			n++
		}
	}
	return fmt.Sprintf("%d commands", n), nil
}
