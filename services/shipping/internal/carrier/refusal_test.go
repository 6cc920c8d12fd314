package carrier_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"eventshop.example/pkg/errs"
	"eventshop.example/services/shipping/internal/carrier"
	"eventshop.example/services/shipping/internal/carrier/carriertest"
)

// TestUnrecordedRefusal: a refusal that the carrier has not recorded says nothing about earlier
// requests.
func TestUnrecordedRefusal(t *testing.T) {
	refused := carrier.Answer{Outcome: carrier.Refused, Code: "bad_request", Detail: "not like that"}
	for _, status := range []int{http.StatusBadRequest, http.StatusUnprocessableEntity} {
		reject := carriertest.Switches{Schedule: status}
		t.Run(fmt.Sprint(status, " for a new key closes it"), func(t *testing.T) {
			server := carriertest.Start(t)
			server.Switch(reject)
			c := client(server)
			want(t, schedule(t, c), refused)
			if got := server.Status("k1"); got != "cancelled" {
				t.Fatalf("carrier has %q; an earlier try that is still on its way would ship", got)
			}
			server.Switch(carriertest.Switches{})
			if got := schedule(t, c).Outcome; got != carrier.Stopped {
				t.Fatalf("schedule after the refusal = %q", got)
			}
		})
		t.Run(fmt.Sprint(status, " after an earlier try"), func(t *testing.T) {
			server := carriertest.Start(t)
			c := client(server)
			schedule(t, c)
			server.Switch(reject)
			want(t, schedule(t, c), accepted)
			at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			server.Dispatch(t, "k1", at)
			left := accepted
			left.DispatchedAt = at
			want(t, schedule(t, c), left)
		})
		t.Run(fmt.Sprint(status, " after a cancellation"), func(t *testing.T) {
			server := carriertest.Start(t)
			c := client(server)
			cancel(t, c)
			server.Switch(reject)
			if got := schedule(t, c).Outcome; got != carrier.Stopped {
				t.Fatalf("schedule = %q", got)
			}
		})
	}
}

// TestUnrecordedRefusalOfAKeyThatCannotBeAskedFor: without a lookup of the key, a refusal is no
// decision.
func TestUnrecordedRefusalOfAKeyThatCannotBeAskedFor(t *testing.T) {
	server := carriertest.Start(t)
	for name, switches := range map[string]carriertest.Switches{
		"no lookup": {Schedule: 400, NoLookup: true}, "no to everything": {Status: 400},
	} {
		server.Switch(switches)
		if a, err := client(server).Schedule(context.Background(), "k1", request); errs.KindOf(err) != errs.Transient || err == nil {
			t.Errorf("%s: Schedule = %+v, %v, want kind transient", name, a, err)
		}
		if got := server.Status("k1"); got != "" {
			t.Errorf("%s: carrier has %q", name, got)
		}
	}
}

// scripted answers each operation from a script.
func scripted(t *testing.T, script map[string]string) *carrier.Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var status int
		var body string
		if line, ok := script[r.Method+" "+r.URL.Path]; !ok {
			status, body = http.StatusServiceUnavailable, "{}"
		} else if _, err := fmt.Sscan(line, &status); err == nil {
			_, body, _ = strings.Cut(line, " ")
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(server.Close)
	return carrier.New(server.URL, 10*time.Second, patient())
}

// TestUnrecordedRefusalClosesAgainstATryUnderWay: an earlier request arrives between the lookup and
// the cancellation.
func TestUnrecordedRefusalClosesAgainstATryUnderWay(t *testing.T) {
	const post, get, stop = "POST /v1/shipments", "GET /v1/shipments/k1", "POST /v1/shipments/k1/cancel"
	unseen := `404 {"code":"unknown_shipment"}`
	departed := scripted(t, map[string]string{post: "400 <html>", get: unseen,
		stop: `409 {"code":"dispatched","shipment":{"shipmentId":"s1","trackingId":"T1","carrier":"x","status":"dispatched","dispatchedAt":"2026-01-02T03:04:05Z"}}`})
	want(t, schedule(t, departed), carrier.Answer{Outcome: carrier.Accepted, ShipmentID: "s1", TrackingID: "T1", Carrier: "x",
		DispatchedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)})

	cancelled := scripted(t, map[string]string{post: "400 <html>", get: unseen, stop: `200 {"shipmentId":"s1","status":"cancelled"}`})
	want(t, schedule(t, cancelled), carrier.Answer{Outcome: carrier.Refused, Code: "http_400"})

	for _, c := range []*carrier.Client{
		scripted(t, map[string]string{post: "400 {}", get: unseen}),
		scripted(t, map[string]string{post: "400 {}", get: unseen, stop: "400 {}"}),
		scripted(t, map[string]string{post: "422 {}", get: `200 {"status":"on_hold"}`, stop: `200 {"status":"cancelled"}`}),
	} {
		if a, err := c.Schedule(context.Background(), "k1", request); errs.KindOf(err) != errs.Transient || err == nil {
			t.Errorf("Schedule = %+v, %v, want kind transient", a, err)
		}
	}
}

func TestForeignWordsAreCleaned(t *testing.T) {
	long := strings.Repeat("é", 4000)
	c := scripted(t, map[string]string{
		"POST /v1/shipments":   `422 {"code":"no\u0000pe","detail":"a\u001b[31m` + long + `"}`,
		"GET /v1/shipments/k1": `200 {"status":"refused","code":"no\u0000pe","carrier":"x` + "\xff" + `"}`,
		"GET /v1/updates": `200 {"updates":[
			{"seq":1,"key":"k\u0000","orderId":"o","status":"dispatched","at":"2026-01-02T03:04:05Z","trackingId":"` + long + `"},
			{"seq":2,"key":17},
			{"seq":3,"key":"k1","orderId":"o1","status":"dispatched","at":"yesterday"},
			{"seq":4,"key":"k1","orderId":"o1","status":"delivered"}]}`,
	})
	a := schedule(t, c)
	if a.Outcome != carrier.Refused || a.Code != "no\uFFFDpe" || a.Carrier != "x\uFFFD" || !strings.HasPrefix(a.Detail, "a\uFFFD[31mé") ||
		len(a.Detail) > 1024 || !utf8.ValidString(a.Detail) {
		t.Fatalf("answer = %+v", a)
	}
	updates, err := c.Updates(context.Background(), 0, 10)
	if err != nil || len(updates) != 4 {
		t.Fatalf("Updates = %+v, %v", updates, err)
	}
	if u := updates[0]; u.Key != "k\uFFFD" || len(u.TrackingID) > 128 || !utf8.ValidString(u.TrackingID) {
		t.Fatalf("update = %+v", u)
	}
	if updates[1] != (carrier.Update{Seq: 2}) || updates[2] != (carrier.Update{Seq: 3}) || updates[3].Key != "k1" {
		t.Fatalf("updates = %+v", updates)
	}
}
