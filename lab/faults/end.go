package faults

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"eventshop.example/ops/jsonhttp"
)

// endWithin is how long the orders of a fault may take to end after the fault: a killed service
// waits 6 s for its partitions, and the machine may be slow.
const endWithin = 90 * time.Second

// recovery is the time from the end of a fault until every order placed by then was confirmed or
// cancelled.
type recovery struct {
	took time.Duration
	err  error
}

// watch measures a recovery in the background.
func watch(ctx context.Context, from time.Time, api string, orders map[string]string) <-chan recovery {
	done := make(chan recovery, 1)
	go func() {
		err := eventually(ctx, endWithin, "the saga of every order is decided", func(ctx context.Context) (bool, error) {
			left, err := underWay(ctx, api, orders, pending, cancelling)
			return len(left) == 0, err
		})
		done <- recovery{time.Since(from), err}
	}()
	return done
}

// ends waits until every order of the trial has ended: its own orders as wanted, those of the load
// delivered. It fills in the figures.
func (t *trial) ends(ctx context.Context, f *Figures) error {
	wants := maps.Clone(t.wants)
	if t.load != nil {
		promised, err := t.load.Stop()
		t.expect(err == nil, "the load: %v", err)
		for _, id := range promised {
			if wants[id] == "" {
				wants[id] = delivered
			}
		}
	}
	f.Orders, f.Ended = len(wants), map[string]int{}
	r := <-t.recovery
	if f.Recovered = r.took; r.err != nil {
		return r.err
	}
	err := eventually(ctx, endWithin, "every order has ended", func(ctx context.Context) (bool, error) {
		left, err := underWay(ctx, t.file.URL["order"], wants)
		return len(left) == 0, err
	})
	if err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(wants)) {
		got, err := t.status(ctx, id)
		if err != nil {
			return err
		}
		f.Ended[got]++
		t.expect(got == wants[id], "order %s is %s, not %s", id, got, wants[id])
	}
	return nil
}

// underWay lists the orders whose saga has not ended, in one of the statuses or in any, as the
// order service at a base URL reports them.
func underWay(ctx context.Context, api string, orders map[string]string, statuses ...string) (ids []string, err error) {
	query := url.Values{"limit": {"500"}}
	for {
		var page struct {
			Sagas      []struct{ OrderID, Status string }
			NextCursor string
		}
		if err := jsonhttp.New(api, nil).Call(ctx, http.MethodGet, "/sagas", query, nil, &page); err != nil {
			return nil, fmt.Errorf("ask what is under way: %w", err)
		}
		for _, s := range page.Sagas {
			ours := orders[s.OrderID] != ""
			over := s.Status == delivered || s.Status == cancelled // it only needs attention
			if ours && !over && (len(statuses) == 0 || slices.Contains(statuses, s.Status)) {
				ids = append(ids, s.OrderID)
			}
		}
		if page.NextCursor == "" {
			return ids, nil
		}
		query.Set("cursor", page.NextCursor)
	}
}

// books sums up the gateway's ledger for one order, in minor units.
type books struct {
	captures, refunds  int
	captured, refunded int64
}

func (b books) net() int64 { return b.captured - b.refunded }

// ledger reads the gateway's own books.
func (t *trial) ledger(ctx context.Context) (map[string]books, error) {
	all := map[string]books{}
	for after := int64(0); ; {
		var page struct {
			Entries []struct {
				Seq           int64
				OrderID, Kind string
				AmountMinor   int64
			}
		}
		if err := t.call(ctx, http.MethodGet, "gateway", fmt.Sprintf("/v1/ledger?limit=10000&after=%d", after), nil, &page); err != nil {
			return nil, err
		}
		if len(page.Entries) == 0 {
			return all, nil
		}
		for _, e := range page.Entries {
			b := all[e.OrderID]
			switch e.Kind {
			case "capture":
				b.captures, b.captured = b.captures+1, b.captured+e.AmountMinor
			case "refund":
				b.refunds, b.refunded = b.refunds+1, b.refunded+e.AmountMinor
			}
			all[e.OrderID], after = b, e.Seq
		}
	}
}

// money checks the captures and refunds of each order in the gateway's own books.
func (t *trial) money(ctx context.Context, ids []string, captures, refunds int) error {
	all, err := t.ledger(ctx)
	for _, id := range ids {
		b := all[id]
		t.expect(b.captures == captures && b.refunds == refunds, "order %s: %d captures and %d refunds at the gateway, want %d and %d",
			id, b.captures, b.refunds, captures, refunds)
		t.expect(refunds == 0 || b.net() == 0, "order %s: %d are left at the gateway", id, b.net())
	}
	return err
}
