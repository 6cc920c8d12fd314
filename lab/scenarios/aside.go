package scenarios

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"eventshop.example/ops/jsonhttp"
)

// setAside removes the gateway's and the carrier's existing fault rules, such as the last one of a
// tour. putBack restores them. Scenarios add their own.
func (s *shop) setAside(ctx context.Context) (putBack func() error, err error) {
	type rules struct {
		base string
		all  []json.RawMessage
	}
	var found []rules
	putBack = func() error {
		// Not ctx: the rules are restored also when the run is interrupted.
		c, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		var failures []error
		for _, r := range found {
			for _, rule := range r.all {
				failures = append(failures, s.call(c, http.MethodPost, r.base+"/faults", rule, nil))
			}
		}
		return errors.Join(failures...)
	}
	for _, base := range []string{s.Gateway, s.Carrier} {
		var list struct{ Faults []json.RawMessage }
		if err := s.call(ctx, http.MethodGet, base+"/faults", nil, &list); err != nil {
			return nil, errors.Join(fmt.Errorf("look at the faults planted before: %w", err), putBack())
		}
		if len(list.Faults) == 0 {
			continue
		}
		if err := s.call(ctx, http.MethodDelete, base+"/faults", nil, nil); err != nil {
			return nil, errors.Join(fmt.Errorf("set the faults planted before aside: %w", err), putBack())
		}
		found = append(found, rules{base, list.Faults})
		if s.report.Note != nil {
			s.report.Note(fmt.Sprintf("%d planted faults are set aside at %s while the scenarios run: %s", len(list.Faults), base, list.Faults))
		}
	}
	return putBack, nil
}

// parcelTimes makes the carrier use its usual times for the customer's parcels, whatever rules
// exist for others.
func (s *shop) parcelTimes(ctx context.Context, customer string) (remove func() error, err error) {
	return s.fault(ctx, s.Carrier, map[string]any{
		"match": match(customer, "schedule"), "dispatchAfterMs": 2000, "deliverAfterMs": 2000,
	})
}

// available is how many pieces of a SKU can be reserved.
func (s *shop) available(ctx context.Context, sku string) (int64, error) {
	var stock struct{ Available int64 }
	err := s.call(ctx, http.MethodGet, s.Inventory+"/stock/"+sku, nil, &stock)
	if jsonhttp.StatusOf(err) == http.StatusNotFound {
		return 0, nil
	}
	return stock.Available, err
}
