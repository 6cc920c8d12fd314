package scenarios

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"eventshop.example/ops/jsonhttp"
)

// step is one event of an order, as the read model has it.
type step struct {
	EventID               string
	Type, Service, Detail string
	OccurredAt            time.Time
}

func (e step) String() string {
	if e.Detail == "" {
		return e.Type
	}
	return e.Type + " (" + e.Detail + ")"
}

// view is an order in the read model.
type view struct {
	Status   string
	Timeline []step
}

// view reads an order from the read model. A missing order is no error, because the read model may
// be behind.
func (s *shop) view(ctx context.Context, orderID string) (view, error) {
	var v view
	err := s.call(ctx, http.MethodGet, s.Projection+"/orders/"+orderID, nil, &v)
	if jsonhttp.StatusOf(err) == http.StatusNotFound {
		return v, nil
	}
	return v, err
}

// timeline returns the saga's steps from the read model.
func (s *shop) timeline(ctx context.Context, orderID string) ([]string, error) {
	v, err := s.view(ctx, orderID)
	var steps []string
	for _, e := range v.Timeline {
		steps = append(steps, e.String())
	}
	return steps, err
}

// show reports the steps of an order that were not reported yet, each with its time. It returns the
// order's status in the read model.
func (s *shop) show(ctx context.Context, orderID string) (status string, err error) {
	v, err := s.view(ctx, orderID)
	if err != nil {
		return "", err
	}
	if s.shown[orderID] == nil {
		s.shown[orderID] = map[string]bool{}
	}
	for _, e := range v.Timeline {
		if !s.shown[orderID][e.EventID] {
			s.shown[orderID][e.EventID] = true
			s.sayAt(e.OccurredAt, "%s", e.String())
		}
	}
	return v.Status, nil
}

// await follows the order until it has one of the statuses and the read model shows it. It reports
// each step of the saga as it happens.
func (s *shop) await(ctx context.Context, orderID string, want ...string) (string, error) {
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	last := ""
	for {
		status, err := s.status(ctx, orderID)
		if err == nil {
			last = status
		} else if ctx.Err() == nil && jsonhttp.StatusOf(err)/100 == 4 {
			return "", err
		}
		s.show(ctx, orderID) //nolint:errcheck // the read model is a comfort here, not the truth
		if slices.Contains(want, last) {
			return last, nil
		}
		select {
		case <-ctx.Done():
			return last, fmt.Errorf("order %s is %s, not %s, when the time is up", orderID, last, strings.Join(want, " or "))
		case <-tick.C:
		}
	}
}

const (
	// restWithin is how long the report waits for the read model at the end of a scenario.
	restWithin = 5 * time.Second
	// quiet is how long an ended order must show nothing new before its report is complete: goods
	// are released independently of the refund that ends an order.
	quiet = 300 * time.Millisecond
)

// rest reports what reaches the read model after the scenario has ended. The read model is
// asynchronous, and an order's last events are important.
func (s *shop) rest(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, restWithin)
	defer cancel()
	for orderID := range s.shown {
		steps, since := -1, time.Now()
		eventually(ctx, "the read model knows", func() (bool, error) { //nolint:errcheck // the story is a comfort
			truth, err := s.status(ctx, orderID)
			if err != nil {
				return false, err
			}
			known, err := s.show(ctx, orderID)
			if n := len(s.shown[orderID]); n != steps {
				steps, since = n, time.Now()
			}
			return known == truth && time.Since(since) >= quiet, err
		})
	}
	clear(s.shown)
}
