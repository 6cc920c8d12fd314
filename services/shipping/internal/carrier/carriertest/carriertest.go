// Package carriertest is for tests only. It is a parcel carrier in memory with the carrier's HTTP
// API. Tests decide when parcels move and which answers get lost.
package carriertest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Carrier is a running carrier. [Start] creates it, and the end of the test stops it.
// [Carrier.Switch] sets its faults.
type Carrier struct {
	URL string

	mu       sync.Mutex
	switches Switches
	parcels  map[string]*parcel
	updates  []map[string]any
	requests []string
	seq      int64
}

// Switches are the faults of the carrier.
type Switches struct {
	Refuse     string // refuse new parcels with this code
	AnswerLost int    // carry out this number of POST requests without an answer
	Down       bool   // cut every connection and do nothing
	Status     int    // answer every request with this status
	Schedule   int    // answer schedule requests with this status and do nothing
	NoLookup   bool   // answer lookups by key with 503
}

type parcel struct {
	ShipmentID   string    `json:"shipmentId,omitempty"`
	TrackingID   string    `json:"trackingId,omitempty"`
	Key          string    `json:"key"`
	OrderID      string    `json:"orderId"`
	Status       string    `json:"status"`
	Carrier      string    `json:"carrier"`
	Code         string    `json:"code,omitempty"`
	DispatchedAt time.Time `json:"dispatchedAt,omitzero"`

	body string
}

// Start starts a carrier.
func Start(t testing.TB) *Carrier {
	t.Helper()
	c := &Carrier{parcels: map[string]*parcel{}}
	server := httptest.NewServer(http.HandlerFunc(c.serve))
	t.Cleanup(server.Close)
	c.URL = server.URL
	return c
}

// Switch replaces the switches.
func (c *Carrier) Switch(s Switches) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.switches = s
}

// Dispatch makes the parcel leave at the given time.
func (c *Carrier) Dispatch(t testing.TB, key string, at time.Time) { c.move(t, key, "dispatched", at) }

// Deliver makes the parcel arrive at the given time.
func (c *Carrier) Deliver(t testing.TB, key string, at time.Time) { c.move(t, key, "delivered", at) }

func (c *Carrier) move(t testing.TB, key, to string, at time.Time) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.parcels[key]
	from := map[string]string{"dispatched": "scheduled", "delivered": "dispatched"}[to]
	if p == nil || p.Status != from {
		t.Fatalf("parcel %q cannot become %s: %+v", key, to, p)
	}
	p.Status = to
	if to == "dispatched" {
		p.DispatchedAt = at
	}
	c.report(p, to, at)
}

func (c *Carrier) report(p *parcel, status string, at time.Time) {
	c.seq++
	c.updates = append(c.updates, map[string]any{
		"seq": c.seq, "at": at, "key": p.Key, "orderId": p.OrderID, "shipmentId": p.ShipmentID,
		"trackingId": p.TrackingID, "carrier": p.Carrier, "status": status,
	})
}

// Foreign adds an update about a parcel of another shop to the feed.
func (c *Carrier) Foreign(key, orderID, status string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report(&parcel{Key: key, OrderID: orderID, Carrier: "test-express"}, status, time.Now())
}

// Stray makes the parcel leave although it was refused or cancelled. A carrier should never do
// that.
func (c *Carrier) Stray(t testing.TB, key string, at time.Time) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.parcels[key]
	if p == nil || (p.Status != "refused" && p.Status != "cancelled") {
		t.Fatalf("parcel %q was not called off: %+v", key, p)
	}
	p.ShipmentID, p.TrackingID, p.OrderID = "shp-stray", "T-stray", strings.TrimPrefix(key, "shipment-")
	p.Status, p.DispatchedAt = "dispatched", at
	c.report(p, p.Status, at)
}

// Repeat adds the last update to the feed again, with a new sequence number.
func (c *Carrier) Repeat() {
	c.mu.Lock()
	defer c.mu.Unlock()
	again := maps.Clone(c.updates[len(c.updates)-1])
	c.seq++
	again["seq"] = c.seq
	c.updates = append(c.updates, again)
}

// Spoil replaces one field of the last update.
func (c *Carrier) Spoil(field string, value any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.updates[len(c.updates)-1][field] = value
}

// Status returns the carrier's status of a key, or "" for an unknown key.
func (c *Carrier) Status(key string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.parcels[key]; p != nil {
		return p.Status
	}
	return ""
}

// Requests lists the method and path of every request so far.
func (c *Carrier) Requests() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string{}, c.requests...)
}

func (c *Carrier) serve(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests = append(c.requests, r.Method+" "+r.URL.Path)
	if c.switches.Down {
		panic(http.ErrAbortHandler)
	}
	if c.switches.Status != 0 {
		answer(w, c.switches.Status, map[string]string{"code": "fault"})
		return
	}
	path := strings.TrimPrefix(r.URL.Path, "/v1/shipments")
	switch {
	case c.switches.Schedule != 0 && r.Method == http.MethodPost && path == "":
		answer(w, c.switches.Schedule, map[string]string{"code": "bad_request", "detail": "not like that"})
		return
	case c.switches.NoLookup && r.Method == http.MethodGet && strings.HasPrefix(path, "/"):
		answer(w, http.StatusServiceUnavailable, map[string]string{"code": "fault"})
		return
	}
	status, body := c.do(r)
	if r.Method == http.MethodPost && c.switches.AnswerLost > 0 {
		c.switches.AnswerLost--
		panic(http.ErrAbortHandler)
	}
	answer(w, status, body)
}

func (c *Carrier) do(r *http.Request) (int, any) {
	path := strings.Split(strings.TrimPrefix(r.URL.Path, "/v1/"), "/")
	switch {
	case r.Method == http.MethodPost && len(path) == 1:
		return c.schedule(r)
	case r.Method == http.MethodPost && len(path) == 3:
		return c.cancel(path[1])
	case path[0] == "updates":
		return c.page(r)
	}
	p := c.parcels[path[1]]
	if p == nil {
		return http.StatusNotFound, map[string]string{"code": "unknown_shipment"}
	}
	return http.StatusOK, p
}

func (c *Carrier) schedule(r *http.Request) (int, any) {
	var raw json.RawMessage
	var req struct {
		OrderID string `json:"orderId"`
	}
	if json.NewDecoder(r.Body).Decode(&raw) != nil || json.Unmarshal(raw, &req) != nil || req.OrderID == "" {
		return http.StatusBadRequest, map[string]string{"code": "bad_request"}
	}
	key := r.Header.Get("Idempotency-Key")
	p := c.parcels[key]
	status := http.StatusOK
	if p == nil {
		n := len(c.parcels) + 1
		p = &parcel{
			ShipmentID: fmt.Sprintf("shp-%d", n), TrackingID: fmt.Sprintf("T%d", n), Key: key, OrderID: req.OrderID,
			Status: "scheduled", Carrier: "test-express", body: string(raw),
		}
		status = http.StatusCreated
		if c.switches.Refuse != "" {
			p.ShipmentID, p.TrackingID, p.Status, p.Code = "", "", "refused", c.switches.Refuse
		}
		c.parcels[key] = p
	}
	switch {
	case p.Status == "cancelled":
		return http.StatusConflict, map[string]string{"code": "cancelled"}
	case p.body != string(raw):
		return http.StatusUnprocessableEntity, map[string]string{"code": "idempotency_key_reused"}
	case p.Status == "refused":
		return http.StatusUnprocessableEntity, map[string]string{"code": p.Code, "detail": "not there"}
	}
	return status, p
}

func (c *Carrier) cancel(key string) (int, any) {
	p := c.parcels[key]
	if p == nil {
		p = &parcel{Key: key, Status: "cancelled", Carrier: "test-express"}
		c.parcels[key] = p
	}
	switch p.Status {
	case "dispatched", "delivered":
		return http.StatusConflict, map[string]any{"code": p.Status, "shipment": p}
	case "scheduled":
		p.Status = "cancelled"
	}
	return http.StatusOK, p
}

func (c *Carrier) page(r *http.Request) (int, any) {
	after, _ := strconv.ParseInt(r.URL.Query().Get("after"), 10, 64)
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	page := []map[string]any{}
	for _, u := range c.updates {
		if u["seq"].(int64) > after && len(page) < limit {
			page = append(page, u)
		}
	}
	return http.StatusOK, map[string]any{"updates": page, "next": after + int64(len(page))}
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client may have left
}
