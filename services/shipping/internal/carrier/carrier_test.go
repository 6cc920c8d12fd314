package carrier_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/breaker"
	"eventshop.example/pkg/errs"
	"eventshop.example/services/shipping/internal/carrier"
	"eventshop.example/services/shipping/internal/carrier/carriertest"
)

var request = carrier.Request{
	OrderID: "o1", CustomerID: "c1",
	Address: carrier.Address{Street: "1 Lane", City: "London", PostalCode: "SW1A 1AA", Country: "GB"},
	Items:   []carrier.Item{{SKU: "A", Quantity: 2}},
}

// patient returns circuit breakers that stay closed in tests of other behaviour.
func patient() carrier.Breakers {
	b := breaker.New(breaker.Config{Name: "carrier", Failures: 1000})
	return carrier.Breakers{Parcels: b, Feed: b}
}

func client(c *carriertest.Carrier) *carrier.Client {
	return carrier.New(c.URL+"/", 10*time.Second, patient())
}

func schedule(t *testing.T, c *carrier.Client) carrier.Answer {
	t.Helper()
	a, err := c.Schedule(context.Background(), "k1", request)
	if err != nil {
		t.Fatalf("Schedule: %v", err)
	}
	return a
}

func cancel(t *testing.T, c *carrier.Client) carrier.Answer {
	t.Helper()
	a, err := c.Cancel(context.Background(), "k1", "o1", "c1")
	if err != nil {
		t.Fatalf("Cancel: %v", err)
	}
	return a
}

func want(t *testing.T, got, want carrier.Answer) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("answer (-want +got):\n%s", diff)
	}
}

var accepted = carrier.Answer{Outcome: carrier.Accepted, ShipmentID: "shp-1", TrackingID: "T1", Carrier: "test-express"}

func TestScheduleIsIdempotent(t *testing.T) {
	c := client(carriertest.Start(t))
	want(t, schedule(t, c), accepted)
	want(t, schedule(t, c), accepted)
}

func TestRefusalIsAnAnswer(t *testing.T) {
	server := carriertest.Start(t)
	server.Switch(carriertest.Switches{Refuse: "address_not_served"})
	c := client(server)
	refused := carrier.Answer{Outcome: carrier.Refused, Carrier: "test-express", Code: "address_not_served", Detail: "not there"}
	want(t, schedule(t, c), refused)
	want(t, schedule(t, c), refused)
	if got := server.Status("k1"); got != "refused" {
		t.Fatalf("carrier has %q; a recorded refusal needs no closing", got)
	}
	if got := cancel(t, c).Outcome; got != carrier.Cancelled {
		t.Fatalf("cancellation of a refused parcel = %q; nothing leaves, so it is cancelled", got)
	}
}

func TestTombstone(t *testing.T) {
	c := client(carriertest.Start(t))
	if got := cancel(t, c).Outcome; got != carrier.Cancelled {
		t.Fatalf("cancel = %q", got)
	}
	want(t, schedule(t, c), carrier.Answer{Outcome: carrier.Stopped, Code: "cancelled"})
}

func TestCancelTooLate(t *testing.T) {
	server := carriertest.Start(t)
	c := client(server)
	schedule(t, c)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	server.Dispatch(t, "k1", at)
	late := carrier.Answer{Outcome: carrier.Departed, ShipmentID: "shp-1", TrackingID: "T1", Carrier: "test-express", DispatchedAt: at}
	want(t, cancel(t, c), late)
	server.Deliver(t, "k1", at.Add(time.Hour))
	want(t, cancel(t, c), late)
}

// TestLostAnswerIsAskedForByKey: the request was carried out and its answer was lost; the lookup by
// key finds it.
func TestLostAnswerIsAskedForByKey(t *testing.T) {
	lost := carriertest.Switches{AnswerLost: 1}
	t.Run("accepted", func(t *testing.T) {
		server := carriertest.Start(t)
		server.Switch(lost)
		want(t, schedule(t, client(server)), accepted)
		if diff := cmp.Diff([]string{"POST /v1/shipments", "GET /v1/shipments/k1"}, server.Requests()); diff != "" {
			t.Fatalf("requests (-want +got):\n%s", diff)
		}
	})
	t.Run("accepted and dispatched meanwhile", func(t *testing.T) {
		server := carriertest.Start(t)
		schedule(t, client(server))
		server.Dispatch(t, "k1", time.Now())
		server.Switch(lost)
		if got := schedule(t, client(server)); got.Outcome != carrier.Accepted {
			t.Fatalf("schedule = %+v", got)
		}
	})
	t.Run("refused", func(t *testing.T) {
		server := carriertest.Start(t)
		server.Switch(carriertest.Switches{AnswerLost: 1, Refuse: "address_not_served"})
		if got := schedule(t, client(server)); got.Outcome != carrier.Refused || got.Code != "address_not_served" {
			t.Fatalf("schedule = %+v", got)
		}
	})
	t.Run("stopped", func(t *testing.T) {
		server := carriertest.Start(t)
		cancel(t, client(server))
		server.Switch(lost)
		if got := schedule(t, client(server)); got.Outcome != carrier.Stopped {
			t.Fatalf("schedule = %+v", got)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		server := carriertest.Start(t)
		schedule(t, client(server))
		server.Switch(lost)
		if got := cancel(t, client(server)); got.Outcome != carrier.Cancelled {
			t.Fatalf("cancel = %+v", got)
		}
	})
	t.Run("departed", func(t *testing.T) {
		server := carriertest.Start(t)
		schedule(t, client(server))
		server.Dispatch(t, "k1", time.Now())
		server.Switch(lost)
		if got := cancel(t, client(server)); got.Outcome != carrier.Departed || got.ShipmentID != "shp-1" {
			t.Fatalf("cancel = %+v", got)
		}
	})
}

func TestNoDecisionIsTransient(t *testing.T) {
	for name, switches := range map[string]carriertest.Switches{
		"down":     {Down: true},
		"503":      {Status: 503},
		"too many": {Status: 429},
		"no entry": {Status: 401},
		"no right": {Status: 403},
	} {
		t.Run(name, func(t *testing.T) {
			server := carriertest.Start(t)
			server.Switch(switches)
			c := client(server)
			ctx := context.Background()
			_, scheduled := c.Schedule(ctx, "k1", request)
			_, cancelled := c.Cancel(ctx, "k1", "o1", "c1")
			_, updates := c.Updates(ctx, 0, 10)
			for what, err := range map[string]error{"Schedule": scheduled, "Cancel": cancelled, "Updates": updates} {
				if errs.KindOf(err) != errs.Transient {
					t.Errorf("%s = %v, want kind transient", what, err)
				}
			}
			if got := server.Status("k1"); got != "" {
				t.Errorf("carrier has %q", got)
			}
		})
	}
}

func TestNobodyListening(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	c := carrier.New("http://"+address, time.Second, patient())
	if _, err := c.Schedule(context.Background(), "k1", request); errs.KindOf(err) != errs.Transient {
		t.Fatalf("Schedule = %v, want kind transient", err)
	}
}

// TestTimeoutIsUnknown: the timeout of a slow carrier says nothing about the outcome, and the
// lookup does not find the key yet, so there is no decision.
func TestTimeoutIsUnknown(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			<-release
			return
		}
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"code":"unknown_shipment"}`)
	}))
	defer server.Close()
	defer close(release)
	c := carrier.New(server.URL, 50*time.Millisecond, patient())
	if _, err := c.Schedule(context.Background(), "k1", request); errs.KindOf(err) != errs.Transient {
		t.Fatalf("Schedule = %v, want kind transient", err)
	}
}

// TestForeignAnswersAreInternal: an answer that violates the API is an error of a program. A
// repetition does not help.
func TestForeignAnswersAreInternal(t *testing.T) {
	for _, answer := range []struct {
		status int
		body   string
	}{
		{200, `<html>`}, {404, `{}`}, {409, `{"code":"?"}`}, {422, `{"code":"idempotency_key_reused"}`},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(answer.status)
			fmt.Fprint(w, answer.body)
		}))
		c := carrier.New(server.URL, 10*time.Second, patient())
		if _, err := c.Schedule(context.Background(), "k1", request); err == nil || errs.KindOf(err) != errs.Internal {
			t.Errorf("%d %s: Schedule = %v, want kind internal", answer.status, answer.body, err)
		}
		server.Close()
	}
}

func TestUpdates(t *testing.T) {
	server := carriertest.Start(t)
	c := client(server)
	schedule(t, c)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	server.Dispatch(t, "k1", at)
	server.Deliver(t, "k1", at.Add(time.Hour))
	all := []carrier.Update{
		{Seq: 1, At: at, Key: "k1", OrderID: "o1", ShipmentID: "shp-1", TrackingID: "T1", Carrier: "test-express", Status: carrier.UpdateDispatched},
		{Seq: 2, At: at.Add(time.Hour), Key: "k1", OrderID: "o1", ShipmentID: "shp-1", TrackingID: "T1", Carrier: "test-express", Status: carrier.UpdateDelivered},
	}
	for _, page := range []struct {
		after int64
		limit int
		want  []carrier.Update
	}{{0, 10, all}, {0, 1, all[:1]}, {1, 10, all[1:]}, {2, 10, []carrier.Update{}}} {
		got, err := c.Updates(context.Background(), page.after, page.limit)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(page.want, got); diff != "" {
			t.Fatalf("updates after %d (-want +got):\n%s", page.after, diff)
		}
	}
}
