package cli_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
)

// TestSagaListNamesWhoIsLate: without another reason, WHY has the service that has to answer, and the event.
func TestSagaListNamesWhoIsLate(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	dsn := pgtest.NewURL(t, outbox.Component())
	c, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.WithoutCancel(t.Context()))
	for _, typ := range []string{"OrderCreated", "PaymentCompleted"} {
		if _, err := c.Exec(t.Context(), `INSERT INTO outbox (id, shard, aggregate_type, aggregate_id, event_type, topic, key, ce_specversion, ce_aggregateversion,
			created_at, published_at) VALUES ($1, 0, '', '', $2, 'order.events', $3, '1.0', 1, now() - interval '40s', now())`, uuid.Must(uuid.NewV7()), typ, []byte(orderID(1))); err != nil {
			t.Fatal(err)
		}
	}
	u := s.services.URL
	s.stateIs(map[string]any{
		"ports": map[string]int{}, "operators": map[string]string{"payment": s.payment.URL},
		"urls": map[string]string{"order": u, "payment": u, "inventory": u}, "databases": map[string]string{"order": dsn},
	})
	s.saga(1, "PENDING", time.Minute)
	stuck := func() string { return strings.Join(strings.Fields(s.must("saga", "list", "--stuck")), " ") } // without the table's lines
	s.has(stuck(), orderID(1)+" PENDING", "inventory: no answer to PaymentCompleted for 4")
	for _, longer := range []string{"5m", "0s"} {
		s.has(s.must("saga", "list", "--stuck", "--late-after", longer), "no such orders")
	}
	s.fails([]string{"saga", "list", "--late-after", "soon"}, "--late-after")
	s.saga(2, "PENDING", 2*time.Hour)["confirmBy"] = time.Now().Add(time.Hour)
	s.has(stuck(), "order: no event for 2h00m; shop order shows what it waits for")
}

// TestSagaAcknowledge: the attention of a saga that has ended ends with a note.
func TestSagaAcknowledge(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.saga(1, "CANCELLED", time.Hour)
	s.services.Sagas = nil
	s.sagas.Sagas = []map[string]any{{"orderId": orderID(1), "status": "CANCELLED", "attention": "the parcel has left"}}
	s.has(s.must("saga", "list", "--stuck"), orderID(1))
	s.has(s.fails([]string{"saga", "retry", orderID(1)}, "nothing to do"), "shop saga acknowledge ends it")
	s.fails([]string{"saga", "acknowledge", orderID(1)}, "--note")
	s.has(s.must("saga", "acknowledge", orderID(1), "--note", "it came back", "--as", "ada"), "order "+orderID(1)+" is CANCELLED and asks no longer: the parcel has left")
	if got := s.sagas.Acknowledged(); len(got) != 1 || got[0] != "saga-acknowledge-0 ada 0 it came back" {
		t.Errorf("%q", got)
	}
	s.fails([]string{"saga", "acknowledge", orderID(1), "--note", "again"}, "nothing to acknowledge")
	s.fails([]string{"saga", "acknowledge", orderID(2), "--note", "again"}, "no orchestrated saga")
	s.has(s.must("saga", "list"), "no such orders")
}
