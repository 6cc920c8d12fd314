package scenarios

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"eventshop.example/ops/operators"
	"eventshop.example/ops/projections"
)

// recorded is one domain event of an order.
type recorded struct {
	Version    int64     `json:"version"`
	Type       string    `json:"type"`
	RecordedAt time.Time `json:"recordedAt"`
}

// asItWas asks for an order as it was a microsecond before its confirmation, and at it.
func asItWas(ctx context.Context, s *shop, customer string) (string, error) {
	id, err := s.place(ctx, customer, 0, line{widget, 1, 2999})
	if err != nil {
		return "", err
	}
	if status, err := s.await(ctx, id, "CONFIRMED", "CANCELLED"); err != nil {
		return status, err
	}
	var history struct {
		Events []recorded `json:"events"`
	}
	if err := s.call(ctx, http.MethodGet, s.Order+"/orders/"+id+"/events", nil, &history); err != nil {
		return "", err
	}
	i := slices.IndexFunc(history.Events, func(e recorded) bool { return e.Type == "OrderConfirmed" })
	if i < 0 {
		return "no confirmation in the stream", nil
	}
	var got [2]string
	for n, at := range []time.Time{history.Events[i].RecordedAt.Add(-time.Microsecond), history.Events[i].RecordedAt} {
		text := at.UTC().Format(time.RFC3339Nano)
		s.say("as of %s?", text)
		var o struct {
			Status string `json:"status"`
		}
		if err := s.call(ctx, http.MethodGet, s.Order+"/orders/"+id+"?asOf="+url.QueryEscape(text), nil, &o); err != nil {
			return "", err
		}
		s.say("%s", o.Status)
		got[n] = o.Status
	}
	return fmt.Sprintf("%s a microsecond before, %s at it", got[0], got[1]), nil
}

// readsItsOwn asks the read model for each order at once, at the version that the command has written.
func readsItsOwn(ctx context.Context, s *shop, customer string) (string, error) {
	const orders = 5
	seen := 0
	for range orders {
		id, err := s.place(ctx, customer, 0, line{widget, 1, 2999})
		if err != nil {
			return "", err
		}
		const written = 2 // the order and its item; the header Order-Version of the answer
		asked := time.Now()
		var o struct {
			OrderID string `json:"orderId"`
		}
		err = s.call(ctx, http.MethodGet, fmt.Sprintf("%s/orders/%s?minVersion=%d", s.Projection, id, written), nil, &o)
		if err != nil {
			s.say("not read: %s", err.Error())
			continue
		}
		s.say("read after %d ms", time.Since(asked).Milliseconds())
		seen++
	}
	return fmt.Sprintf("%d of %d reads saw what was written", seen, orders), nil
}

// rebuilds fills version 2 of the revenue while orders come in, compares it, switches to it and back.
func rebuilds(ctx context.Context, s *shop, customer string) (got string, err error) {
	g, err := s.operators("projection")
	if err != nil {
		return "", err
	}
	if err := s.resetRevenue(ctx, g); err != nil {
		return "", err
	}
	remove, err := s.quickParcel(ctx, customer)
	if err != nil {
		return "", err
	}
	defer remove() //nolint:errcheck // the rule names this scenario's customer only

	meanwhile, stop := context.WithCancel(ctx)
	var placing sync.WaitGroup
	var placed, failed int
	placing.Go(func() { placed, failed = s.sellAndRead(meanwhile, customer) })
	defer placing.Wait()
	defer stop()

	s.say("version 2 of the revenue, with SKU and region, is filled from the beginning of the topics")
	if _, err := g.RebuildProjection(ctx, "revenue", 2); err != nil {
		return "", err
	}
	v, err := projections.Watch(ctx, g, "revenue", 2, func(operators.ProjectionVersion) {})
	if err != nil {
		return "", err
	}
	s.say("%s after %d records", string(v.State), v.Done)
	d, err := g.DiffProjection(ctx, "revenue", 2)
	if err != nil {
		return "", err
	}
	var differences int64
	for _, c := range d.Compared {
		differences += c.Differences
	}
	got = fmt.Sprintf("%d differences", differences)
	if _, err := g.SwitchProjection(ctx, "revenue", 2, false); err != nil {
		return got, err
	}
	s.say("version 2 is live")
	var items struct {
		Items []struct {
			SKU string `json:"sku"`
		} `json:"items"`
	}
	if err := s.call(ctx, http.MethodGet, s.Projection+"/revenue/items", nil, &items); err != nil {
		return got, err
	}
	if len(items.Items) > 0 {
		got += ", live with SKUs"
	}
	if err := s.resetRevenue(ctx, g); err != nil {
		return got, err
	}
	stop()
	placing.Wait()
	s.say("version 1 is live again, and version 2 is dropped; %d orders were placed meanwhile", placed)
	return fmt.Sprintf("%s, switched back, %d failed reads or orders", got, failed), nil
}

// resetRevenue makes version 1 of the revenue live, and drops version 2.
func (s *shop) resetRevenue(ctx context.Context, g operators.Group) error {
	all, err := projections.Status(ctx, g, "revenue")
	if err != nil {
		return err
	}
	for _, v := range all {
		there := v.State == operators.Live || v.State == operators.Following || v.State == operators.Filling || v.State == operators.Failed
		if v.Version != 2 || !there {
			continue
		}
		if v.State == operators.Live {
			if _, err := g.SwitchProjection(ctx, "revenue", 1, false); err != nil {
				return err
			}
		}
		if _, err := g.DropProjection(ctx, "revenue", 2); err != nil {
			return err
		}
	}
	return nil
}

// sellAndRead places orders and reads the revenue until ctx ends. It returns how many orders it
// placed, and how many requests failed.
func (s *shop) sellAndRead(ctx context.Context, customer string) (placed, failed int) {
	quiet := *s
	quiet.report.Seen = nil
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := quiet.place(ctx, customer, 0, line{widget, 1, 2999})
		if err == nil {
			placed++
		}
		var revenue map[string]any
		err = errors.Join(err, quiet.call(ctx, http.MethodGet, s.Projection+"/revenue", nil, &revenue))
		if err != nil && ctx.Err() == nil {
			failed++
		}
		select {
		case <-ctx.Done():
			return placed, failed
		case <-tick.C:
		}
	}
}
