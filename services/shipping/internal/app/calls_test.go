package app

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/outbox"
	"eventshop.example/services/shipping/internal/carrier"
	"eventshop.example/services/shipping/shipping"
)

// TestNoTransactionIsOpenDuringACall: during a booking, a cancellation or a poll of the feed, no
// connection is in use and no row is locked.
func TestNoTransactionIsOpenDuringACall(t *testing.T) {
	f := newFixture(t)
	target, err := url.Parse(f.carrier.URL)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	asked := map[string]int{}
	proxy := httputil.NewSingleHostReverseProxy(target)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked[r.Method+" "+r.URL.Path]++
		mu.Unlock()
		if n := f.pool.Stat().AcquiredConns(); n != 0 {
			t.Errorf("%s %s: %d connections are taken", r.Method, r.URL.Path, n)
		}
		var open int
		err := f.pool.QueryRow(r.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND state LIKE 'idle in transaction%'`).Scan(&open)
		if err != nil || open != 0 {
			t.Errorf("%s %s: %d transactions are open, %v", r.Method, r.URL.Path, open, err)
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	f.app = New(Config{
		Pool: f.pool, Outbox: outbox.New(outbox.Config{Source: "/eventshop/shipping", Types: f.codec.Types(), Encode: f.codec.Encode, CanEncode: f.codec.CanEncode}), Log: slog.New(slog.DiscardHandler),
		Carrier: carrier.New(server.URL, 20*time.Second, patient()), Now: func() time.Time { return noon },
	})
	f.do(f.orderCreated, f.inventoryReserved, f.cancellationRequested, f.track)
	f.want(shipping.Cancelled, scheduled, cancelled)
	for _, request := range []string{"POST /v1/shipments", "POST /v1/shipments/" + Key(orderID) + "/cancel", "GET /v1/updates"} {
		if asked[request] != 1 {
			t.Errorf("%s: asked %d times", request, asked[request])
		}
	}
}

// TestWhatRollsBackLeavesNothing: row and outbox commit together or not at all. The next try finds
// by key what the carrier has done.
func TestWhatRollsBackLeavesNothing(t *testing.T) {
	crash := errors.New("the process dies here")
	f := newFixture(t)
	f.do(f.orderCreated)
	e := inventoryReservedEvent()
	answer, err := askFor(f, OnInventoryReserved, e)
	if err != nil {
		t.Fatal(err)
	}
	err = f.inTx(func(tx pgx.Tx) error {
		if err := react(f, tx, OnInventoryReserved, e, answer); err != nil {
			return err
		}
		return crash
	})
	if !errors.Is(err, crash) {
		t.Fatalf("error = %v", err)
	}
	f.want(shipping.AwaitingReservation)
	f.do(f.inventoryReserved)
	f.want(shipping.Scheduled, scheduled)

	failed := wrapped(events.PaymentFailed{OrderID: otherOrder, Reason: "insufficient_funds", OccurredAt: noon})
	err = f.inTx(func(tx pgx.Tx) error {
		if err := react(f, tx, OnPaymentFailed, failed); err != nil {
			return err
		}
		return crash
	})
	if !errors.Is(err, crash) {
		t.Fatalf("error = %v", err)
	}
	var rows int
	if err := f.pool.QueryRow(t.Context(), `SELECT count(*) FROM shipments WHERE order_id = $1`, otherOrder).Scan(&rows); err != nil || rows != 0 {
		t.Errorf("%d rows of the other order, %v", rows, err)
	}
}
