package carrier

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fixture is a carrier behind HTTP with a clock that the test moves. It can stop and newFixture on the same
// folder.
type fixture struct {
	t      *testing.T
	folder string
	server *Server
	http   *httptest.Server

	mu  sync.Mutex
	now time.Time
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	r := &fixture{t: t, folder: t.TempDir(), now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	r.open(10 * time.Second)
	t.Cleanup(r.close)
	return r
}

func (r *fixture) open(after time.Duration) {
	r.t.Helper()
	server, err := Open(Config{Folder: r.folder, DispatchAfter: after, DeliverAfter: after, Now: r.clock})
	if err != nil {
		r.t.Fatalf("Open: %v", err)
	}
	r.server, r.http = server, httptest.NewServer(server.Handler())
}

func (r *fixture) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *fixture) pass(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
}

func (r *fixture) close() {
	r.http.Close()
	if err := r.server.Close(); err != nil {
		r.t.Errorf("Close: %v", err)
	}
}

func (r *fixture) restart() {
	r.t.Helper()
	r.close()
	// Other delays than before must not change parcels that are already taken.
	r.open(time.Hour)
}

type answer struct {
	HTTP       int
	ShipmentID string    `json:"shipmentId"`
	TrackingID string    `json:"trackingId"`
	Status     Status    `json:"status"`
	Code       string    `json:"code"`
	Shipment   *Shipment `json:"shipment"`
	Updates    []Update  `json:"updates"`
	Next       int64     `json:"next"`
}

func (r *fixture) send(method, path, key, body string) (answer, error) {
	r.t.Helper()
	req, err := http.NewRequest(method, r.http.URL+path, bytes.NewBufferString(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.GetBody = nil // the transport must not repeat the request
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	var a answer
	if err := json.NewDecoder(res.Body).Decode(&a); err != nil {
		r.t.Errorf("%s %s: answer is no JSON: %v", method, path, err)
	}
	a.HTTP = res.StatusCode
	return a, nil
}

func (r *fixture) must(method, path, key, body string) answer {
	r.t.Helper()
	a, err := r.send(method, path, key, body)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

func shipmentBody(order string) string {
	return fmt.Sprintf(`{"orderId":%q,"customerId":"c1","address":{"street":"s","city":"c","postalCode":"p","country":"GB"},"items":[{"sku":"A","quantity":1}]}`, order)
}

func (r *fixture) schedule(key, order string) answer {
	r.t.Helper()
	return r.must("POST", "/v1/shipments", key, shipmentBody(order))
}

func (r *fixture) feed(after int64) []string {
	r.t.Helper()
	a := r.must("GET", fmt.Sprintf("/v1/updates?after=%d", after), "", "")
	feed := []string{}
	for _, u := range a.Updates {
		feed = append(feed, u.Key+" "+string(u.Status))
	}
	return feed
}

func (r *fixture) wantFeed(want ...string) {
	r.t.Helper()
	if diff := cmp.Diff(append([]string{}, want...), r.feed(0)); diff != "" {
		r.t.Fatalf("feed (-want +got):\n%s", diff)
	}
}

func TestParcelLeavesAndArrives(t *testing.T) {
	r := newFixture(t)
	a := r.schedule("k1", "o1")
	if a.HTTP != 201 || a.Status != StatusScheduled || a.ShipmentID == "" || a.TrackingID == "" {
		t.Fatalf("schedule = %+v", a)
	}
	r.pass(9 * time.Second)
	r.wantFeed()
	r.pass(time.Second)
	r.wantFeed("k1 dispatched")
	r.pass(10 * time.Second)
	r.wantFeed("k1 dispatched", "k1 delivered")
	r.pass(time.Hour)
	r.wantFeed("k1 dispatched", "k1 delivered")
	if again := r.schedule("k1", "o1"); again.HTTP != 200 || again.ShipmentID != a.ShipmentID || again.Status != StatusDelivered {
		t.Fatalf("same key again = %+v", again)
	}
	if other := r.schedule("k1", "o2"); other.HTTP != 422 || other.Code != "idempotency_key_reused" {
		t.Fatalf("same key, other body = %+v", other)
	}
}

// Due times do not depend on the process that runs when they pass.
func TestDueTimesSurviveARestart(t *testing.T) {
	r := newFixture(t)
	r.schedule("k1", "o1")
	r.restart()
	r.pass(10 * time.Second)
	r.wantFeed("k1 dispatched")
	r.restart()
	r.wantFeed("k1 dispatched")
	r.pass(9 * time.Second)
	r.restart()
	r.wantFeed("k1 dispatched")
	r.pass(time.Second)
	r.restart()
	r.wantFeed("k1 dispatched", "k1 delivered")
}

func TestFeedPages(t *testing.T) {
	r := newFixture(t)
	for i := range 5 {
		r.schedule(fmt.Sprintf("k%d", i), "o1")
		r.pass(time.Second)
	}
	r.pass(time.Hour)
	var keys []string
	for after := int64(0); ; {
		a := r.must("GET", fmt.Sprintf("/v1/updates?after=%d&limit=3", after), "", "")
		if len(a.Updates) == 0 {
			if a.Next != after {
				t.Fatalf("next of an empty page = %d, want %d", a.Next, after)
			}
			break
		}
		for _, u := range a.Updates {
			if u.Seq <= after {
				t.Fatalf("sequence %d behind %d", u.Seq, after)
			}
			after = u.Seq
			keys = append(keys, u.Key+" "+string(u.Status))
		}
		if a.Next != after {
			t.Fatalf("next = %d, want %d", a.Next, after)
		}
	}
	if len(keys) != 10 {
		t.Fatalf("feed = %v, want 10 updates", keys)
	}
}

func TestCancelBeforeDispatch(t *testing.T) {
	r := newFixture(t)
	r.schedule("k1", "o1")
	for range 2 {
		if a := r.must("POST", "/v1/shipments/k1/cancel", "", ""); a.HTTP != 200 || a.Status != StatusCancelled {
			t.Fatalf("cancel = %+v", a)
		}
		r.restart()
	}
	r.pass(time.Hour)
	r.wantFeed()
	if a := r.schedule("k1", "o1"); a.HTTP != 409 || a.Code != "cancelled" {
		t.Fatalf("schedule after cancel = %+v", a)
	}
}

func TestCancelOfAnUnknownKeyIsATombstone(t *testing.T) {
	r := newFixture(t)
	if a := r.must("POST", "/v1/shipments/k1/cancel", "", `{"orderId":"o1"}`); a.HTTP != 200 || a.Status != StatusCancelled {
		t.Fatalf("cancel = %+v", a)
	}
	r.restart()
	if a := r.schedule("k1", "o1"); a.HTTP != 409 || a.Code != "cancelled" {
		t.Fatalf("late schedule = %+v", a)
	}
	if a := r.must("GET", "/v1/shipments/k1", "", ""); a.HTTP != 200 || a.Status != StatusCancelled {
		t.Fatalf("lookup = %+v", a)
	}
}

func TestCancelAfterDispatchIsRefused(t *testing.T) {
	r := newFixture(t)
	r.schedule("k1", "o1")
	// No request reached the carrier since the parcel became due, so the clock decides.
	r.pass(10 * time.Second)
	if a := r.must("POST", "/v1/shipments/k1/cancel", "", ""); a.HTTP != 409 || a.Code != "dispatched" || a.Shipment.Status != StatusDispatched {
		t.Fatalf("cancel = %+v", a)
	}
	r.pass(10 * time.Second)
	if a := r.must("POST", "/v1/shipments/k1/cancel", "", ""); a.HTTP != 409 || a.Code != "delivered" {
		t.Fatalf("cancel = %+v", a)
	}
	r.wantFeed("k1 dispatched", "k1 delivered")
}

func TestScheduleAndCancelRace(t *testing.T) {
	r := newFixture(t)
	for i := range 30 {
		key := fmt.Sprintf("k%d", i)
		var (
			both             sync.WaitGroup
			schedule, cancel answer
		)
		both.Go(func() { schedule = r.schedule(key, "o1") })
		both.Go(func() { cancel = r.must("POST", "/v1/shipments/"+key+"/cancel", "", "") })
		both.Wait()
		if cancel.HTTP != 200 || (schedule.HTTP != 201 && schedule.Code != "cancelled") {
			t.Fatalf("schedule = %+v, cancel = %+v", schedule, cancel)
		}
	}
	r.pass(time.Hour)
	r.wantFeed()
}

func TestRefusalStays(t *testing.T) {
	r := newFixture(t)
	r.must("POST", "/faults", "", `{"match":{"orderId":"o1"},"refuse":"address_not_served","times":1}`)
	for range 2 { // the key stays refused after the rule is used up
		if a := r.schedule("k1", "o1"); a.HTTP != 422 || a.Code != "address_not_served" {
			t.Fatalf("schedule = %+v", a)
		}
		r.restart()
	}
	if a := r.must("GET", "/v1/shipments/k1", "", ""); a.HTTP != 200 || a.Status != StatusRefused || a.Code != "address_not_served" {
		t.Fatalf("lookup = %+v", a)
	}
	if a := r.must("POST", "/v1/shipments/k1/cancel", "", ""); a.HTTP != 200 || a.Status != StatusRefused {
		t.Fatalf("cancel = %+v", a)
	}
}

func TestDelaysByRule(t *testing.T) {
	r := newFixture(t)
	r.must("POST", "/faults", "", `{"match":{"orderId":"o1"},"dispatchAfterMs":0,"deliverAfterMs":3600000}`)
	r.schedule("k1", "o1")
	r.schedule("k2", "o2")
	r.wantFeed("k1 dispatched")
	r.pass(time.Minute)
	r.wantFeed("k1 dispatched", "k2 dispatched", "k2 delivered")
}

func TestLostAnswerIsApplied(t *testing.T) {
	r := newFixture(t)
	r.must("POST", "/faults", "", `{"match":{"operation":"schedule"},"answerLost":true}`)
	if a, err := r.send("POST", "/v1/shipments", "k1", shipmentBody("o1")); err == nil {
		t.Fatalf("got an answer: %+v", a)
	}
	r.restart()
	if a := r.must("GET", "/v1/shipments/k1", "", ""); a.Status != StatusScheduled {
		t.Fatalf("lookup = %+v", a)
	}
}

// With the real clock and without requests, Run moves the parcels.
func TestRunMovesParcels(t *testing.T) {
	server, err := Open(Config{Folder: t.TempDir(), DispatchAfter: time.Millisecond, DeliverAfter: time.Millisecond, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	recorder := httptest.NewRecorder()
	req := httptest.NewRequest("POST", "/v1/shipments", bytes.NewBufferString(shipmentBody("o1")))
	req.Header.Set("Idempotency-Key", "k1")
	server.Handler().ServeHTTP(recorder, req)
	if recorder.Code != 201 {
		t.Fatalf("schedule = %d %s", recorder.Code, recorder.Body)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for delivered := false; !delivered; {
		select {
		case <-tick.C:
			server.book.mu.Lock() // not page(), which would move the parcels itself
			delivered = len(server.book.updates) == 2
			server.book.mu.Unlock()
		case <-deadline:
			t.Fatal("parcel not delivered in 10 s")
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatalf("Run = %v", err)
	}
}

func TestBadRequests(t *testing.T) {
	r := newFixture(t)
	for _, body := range []string{``, `{}`, `{"orderId":"o1"}`, `{"orderId":"o1","weight":3}`, shipmentBody("")} {
		if a := r.must("POST", "/v1/shipments", "k1", body); a.HTTP != 400 {
			t.Errorf("%s = %+v, want 400", body, a)
		}
	}
	if a := r.must("POST", "/v1/shipments", "", shipmentBody("o1")); a.HTTP != 400 {
		t.Errorf("without key = %+v, want 400", a)
	}
	if a := r.must("GET", "/v1/shipments/k1", "", ""); a.HTTP != 404 {
		t.Errorf("lookup = %+v, want 404", a)
	}
}
