package projection

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/operator/operatorapi"
	"eventshop.example/pkg/participant/participanttest"
	"eventshop.example/pkg/schema"
)

// operate sends a request to the operators' API and decodes the answer. A change has a body.
func operate[T any](t *testing.T, cfg Config, path string, change any) (answer T, status int) {
	t.Helper()
	method, body := http.MethodGet, io.Reader(nil)
	if change != nil {
		text, err := json.Marshal(change)
		if err != nil {
			t.Fatal(err)
		}
		method, body = http.MethodPost, bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+cfg.OperatorAddr+path, body)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-Operator", "ada")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer, 0
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusOK {
		if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
			t.Fatal(err)
		}
	}
	return answer, res.StatusCode
}

// becomes waits until a version of a projection has a state.
func (s *site) becomes(name string, version int32, state operatorapi.ProjectionVersionState) {
	s.t.Helper()
	kafkatest.Eventually(s.t, fmt.Sprintf("%s version %d to be %s", name, version, state), func() bool {
		all, _ := operate[operatorapi.Projections](s.t, s.cfg, "/projections/"+name, nil)
		for _, v := range all.Versions {
			if v.Version == version && v.State == state {
				return true
			}
		}
		return false
	})
}

// TestRevenueGetsARegion is the example of docs/add-a-projection.md: while orders come in, version 2 of the
// revenue is filled, compared without a difference, made live and made live no longer.
func TestRevenueGetsARegion(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.cfg.OperatorAddr, s.cfg.Addr = participanttest.Address(t), participanttest.Address(t)
	kafkatest.Produce(t, s.brokers, s.records...)
	stop := serve(t, s.cfg)
	s.becomes("customer_orders", 1, operatorapi.ProjectionVersionStateLive)
	s.becomes("customer_activity", 1, operatorapi.ProjectionVersionStateLive)
	s.becomes("revenue", 2, operatorapi.ProjectionVersionStateWaiting)
	if a := participanttest.Get(s.cfg.Addr, "/revenue/items"); a.Status != http.StatusConflict {
		t.Errorf("items before the switch: %d %s", a.Status, a.Body)
	}

	writing, written := context.WithCancel(t.Context())
	idle, more := make(chan struct{}), 0
	codec := schema.NewCodec(schema.NewClient(s.cfg.RegistryURL), events.Catalogue())
	go func() {
		defer close(idle)
		for writing.Err() == nil {
			orders := deliveredOrders(t, codec, 10)
			kafkatest.Produce(t, s.brokers, orders...)
			more += len(orders)
		}
	}()
	change := map[string]any{}
	if v, status := operate[operatorapi.ProjectionVersion](t, s.cfg, "/projections/revenue/rebuild", change); status != 200 || v.Version != 2 {
		t.Fatalf("rebuild: %d %+v", status, v)
	}
	s.becomes("revenue", 2, operatorapi.ProjectionVersionStateFollowing)
	d, status := operate[operatorapi.ProjectionDiff](t, s.cfg, "/projections/revenue/diff", nil)
	if status != 200 || len(d.Compared) != 1 || d.Compared[0].Differences != 0 || d.Compared[0].Rows == 0 || len(d.Declared) == 0 {
		t.Errorf("difference: %d %+v", status, d)
	}
	for _, version := range []int{2, 1, 2} {
		change["version"] = version
		if v, status := operate[operatorapi.ProjectionVersion](t, s.cfg, "/projections/revenue/switch", change); status != 200 || v.State != "live" {
			t.Fatalf("switch to %d: %d %+v", version, status, v)
		}
	}
	if a := participanttest.Get(s.cfg.Addr, "/revenue/items?from=2026-11-01&to=2026-11-30"); a.Status != http.StatusOK {
		t.Errorf("items after the switch: %d %s", a.Status, a.Body)
	}
	written()
	<-idle
	s.read(len(s.records) + more)
	d, status = operate[operatorapi.ProjectionDiff](t, s.cfg, "/projections/revenue/diff?version=1", nil)
	if status != 200 || d.Live != 2 || d.Compared[0].Differences != 0 {
		t.Errorf("difference at the end: %d %+v", status, d)
	}
	change["version"] = 1
	if v, status := operate[operatorapi.ProjectionVersion](t, s.cfg, "/projections/revenue/drop", change); status != 200 || v.State != "dropped" {
		t.Errorf("drop: %d %+v", status, v)
	}
	s.nothingIn("revenue_days", "dead_letters", "projection_failures")
	stop()
	var orders, listed int
	err := s.pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM customer_orders_v1.customer_orders)`).Scan(&orders, &listed)
	if err != nil || orders != listed || orders == 0 {
		t.Errorf("%d orders, and %d of customers (%v)", orders, listed, err)
	}
}

// deliveredOrders returns the events of n orders that were paid.
func deliveredOrders(t *testing.T, codec *schema.Codec, n int) []*kgo.Record {
	at := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	var records []*kgo.Record
	for range n {
		id := uuid.Must(uuid.NewV7()).String()
		for _, e := range []event.Event{
			events.PaymentCompleted{OrderID: id, Amount: 1000, Currency: "EUR", OccurredAt: at}, // may be read first
			events.OrderCreated{
				OrderID: id, Customer: events.Customer{ID: "d"}, ShippingAddress: events.Address{Country: "DE"}, Currency: "EUR", TotalAmount: 1000,
				Items: []events.OrderItem{{SKU: "A", Quantity: 1, UnitPrice: 300}, {SKU: "B", Quantity: 1, UnitPrice: 700}}, ConfirmBy: at, OccurredAt: at,
			},
		} {
			records = append(records, kafkatest.Record(t, codec, e))
		}
	}
	return records
}

// TestAVersionThatFollowsFailsAlone: the tables of version 2 of the revenue, which nothing reads, refuse an
// order. It is listed for that version, and no other read model lacks it.
func TestAVersionThatFollowsFailsAlone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.cfg.OperatorAddr, s.cfg.Addr = participanttest.Address(t), participanttest.Address(t)
	codec := schema.NewCodec(schema.NewClient(s.cfg.RegistryURL), events.Catalogue())
	serve(t, s.cfg)
	s.becomes("revenue", 2, operatorapi.ProjectionVersionStateWaiting)
	if _, status := operate[operatorapi.ProjectionVersion](t, s.cfg, "/projections/revenue/rebuild", map[string]any{}); status != 200 {
		t.Fatalf("rebuild: %d", status)
	}
	s.becomes("revenue", 2, operatorapi.ProjectionVersionStateFollowing)
	s.exec(`ALTER TABLE revenue_v2.revenue_shares ADD CONSTRAINT no_b CHECK (sku <> 'B') NOT VALID`)
	kafkatest.Produce(t, s.brokers, deliveredOrders(t, codec, 1)...)
	s.read(2)
	s.nothingIn("dead_letters", "parked_keys")
	kafkatest.Eventually(t, "the order in the read models", func() bool {
		return participanttest.Get(s.cfg.Addr, "/customers/d/orders").Status == http.StatusOK
	})
	all, status := operate[operatorapi.Projections](t, s.cfg, "/projections/revenue", nil)
	if status != 200 || len(all.Versions) != 2 || all.Versions[1].Failures != 1 || all.Versions[1].State != operatorapi.ProjectionVersionStateFollowing {
		t.Errorf("status: %d %+v", status, all)
	}
	if _, status := operate[operatorapi.ProjectionVersion](t, s.cfg, "/projections/revenue/switch", map[string]any{"version": 2, "force": true}); status != http.StatusConflict {
		t.Errorf("switch: %d", status)
	}
	s.exec(`ALTER TABLE revenue_v2.revenue_shares DROP CONSTRAINT no_b`)
	kafkatest.Eventually(t, "the record to be settled", func() bool {
		all, _ := operate[operatorapi.Projections](t, s.cfg, "/projections/revenue", nil)
		return len(all.Versions) == 2 && all.Versions[1].Failures == 0
	})
	if d, status := operate[operatorapi.ProjectionDiff](t, s.cfg, "/projections/revenue/diff", nil); status != 200 || d.Compared[0].Differences != 0 || d.Compared[0].Rows != 1 {
		t.Errorf("difference: %d %+v", status, d)
	}
}
