// Package gatewaytest is for tests only. It is a card gateway with the HTTP API that package
// gateway uses. Tests check money against its ledger in memory and switch on its faults.
//
// It keeps the promises of the real gateway: one key has one answer, a voided key takes no charge,
// and refunds never exceed the capture.
package gatewaytest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
)

// The operations that faults apply to.
const (
	Charge = "charge"
	Void   = "void"
	Refund = "refund"
	Lookup = "lookup"
)

// Fault is a fault for requests of one operation.
type Fault struct {
	Times      int    // number of affected requests; 0: all until Mend
	Down       bool   // cut the connection and do nothing
	AnswerLost bool   // carry out the request, then cut the connection
	Hang       bool   // do nothing, and keep the connection until the caller leaves
	HangAfter  bool   // carry out the request, and keep the connection until the caller leaves
	Status     int    // answer with this status and do nothing
	Decline    string // decline the charge with this code
	// Arrived and Release stop a request before anything is done. The gateway sends on Arrived and
	// waits until Release is closed.
	Arrived chan<- struct{}
	Release <-chan struct{}
}

type charge struct {
	ChargeID    string `json:"chargeId"`
	Key         string `json:"key"`
	OrderID     string `json:"orderId"`
	Status      string `json:"status"`
	DeclineCode string `json:"declineCode,omitempty"`
	Amount      int64  `json:"amount"`
	Currency    string `json:"currency"`
	Refunded    int64  `json:"refunded"`
}

type refund struct {
	RefundID string `json:"refundId"`
	Key      string `json:"key"`
	Status   string `json:"status"`
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
}

// Gateway is the server. [Start] creates it.
type Gateway struct {
	URL string

	mu      sync.Mutex
	charges map[string]*charge
	refunds map[string]refund
	ledger  []string
	calls   map[string]int
	traces  map[string][]string
	faults  map[string]*Fault
}

// Start runs the gateway until the test ends.
func Start(t testing.TB) *Gateway {
	t.Helper()
	g := &Gateway{charges: map[string]*charge{}, refunds: map[string]refund{}, calls: map[string]int{},
		traces: map[string][]string{}, faults: map[string]*Fault{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/charges", g.serve(Charge, g.charge))
	mux.HandleFunc("GET /v1/charges/{key}", g.serve(Lookup, g.lookup))
	mux.HandleFunc("POST /v1/charges/{key}/void", g.serve(Void, g.void))
	mux.HandleFunc("POST /v1/refunds", g.serve(Refund, g.refund))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	g.URL = server.URL
	return g
}

// Fail switches a fault on and replaces the operation's earlier fault.
func (g *Gateway) Fail(operation string, f Fault) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.faults[operation] = &f
}

// Mend switches all faults off.
func (g *Gateway) Mend() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.faults)
}

// Ledger lists what really happened, oldest first: "capture charge-1 2999 EUR".
func (g *Gateway) Ledger() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]string{}, g.ledger...)
}

// Net returns the money held under a charge key, in minor units.
func (g *Gateway) Net(key string) int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	c, ok := g.charges[key]
	if !ok || c.Status != "captured" {
		return 0
	}
	return c.Amount - c.Refunded
}

// Calls counts the requests of an operation, including those with a fault.
func (g *Gateway) Calls(operation string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.calls[operation]
}

// Traces lists the traceparent headers of an operation's requests; "" where a request has none.
func (g *Gateway) Traces(operation string) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.traces[operation])
}

type answer struct {
	status int
	body   any
}

// serve applies the faults to an operation. do runs under the lock.
func (g *Gateway) serve(operation string, do func(r *http.Request, f Fault) answer) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		// The server notices that a caller leaves only after it has read the whole body.
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		f := g.fault(operation, r)
		if f.Arrived != nil {
			f.Arrived <- struct{}{}
			<-f.Release
		}
		switch {
		case f.Down:
			panic(http.ErrAbortHandler)
		case f.Hang:
			<-r.Context().Done()
			return
		case f.Status != 0:
			w.WriteHeader(f.Status)
			return
		}
		g.mu.Lock()
		a := do(r, f)
		g.mu.Unlock()
		switch {
		case f.AnswerLost:
			panic(http.ErrAbortHandler)
		case f.HangAfter:
			<-r.Context().Done()
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(a.status)
		_ = json.NewEncoder(w).Encode(a.body) // the caller may have left
	}
}

func (g *Gateway) fault(operation string, r *http.Request) Fault {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls[operation]++
	g.traces[operation] = append(g.traces[operation], r.Header.Get("Traceparent"))
	f := g.faults[operation]
	if f == nil {
		return Fault{}
	}
	spoilt := *f
	if f.Times > 0 {
		if f.Times--; f.Times == 0 {
			delete(g.faults, operation)
		}
	}
	return spoilt
}

func refuse(status int, code string) answer {
	return answer{status, map[string]string{"code": code, "detail": "said by the test gateway"}}
}

func (g *Gateway) charge(r *http.Request, f Fault) answer {
	var req struct {
		OrderID, CustomerID, Currency string
		Amount                        int64
	}
	key := r.Header.Get("Idempotency-Key")
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil || key == "" || req.Amount <= 0 {
		return refuse(http.StatusBadRequest, "bad_request")
	}
	if c, ok := g.charges[key]; ok {
		switch {
		case c.Status == "voided":
			return refuse(http.StatusConflict, "voided")
		case c.Amount != req.Amount || c.Currency != req.Currency:
			return refuse(http.StatusUnprocessableEntity, "idempotency_key_reused")
		}
		return answer{http.StatusOK, *c}
	}
	c := &charge{Key: key, OrderID: req.OrderID, Status: "captured", Amount: req.Amount, Currency: req.Currency, ChargeID: "ch-" + req.OrderID}
	entry := fmt.Sprintf("capture %s %d %s", key, req.Amount, req.Currency)
	if f.Decline != "" {
		c.Status, c.DeclineCode = "declined", f.Decline
		entry = "decline " + key + " " + f.Decline
	}
	g.charges[key], g.ledger = c, append(g.ledger, entry)
	return answer{http.StatusCreated, *c}
}

func (g *Gateway) lookup(r *http.Request, _ Fault) answer {
	c, ok := g.charges[r.PathValue("key")]
	if !ok {
		return refuse(http.StatusNotFound, "unknown_charge")
	}
	return answer{http.StatusOK, *c}
}

func (g *Gateway) void(r *http.Request, _ Fault) answer {
	key := r.PathValue("key")
	c, ok := g.charges[key]
	if !ok {
		c = &charge{Key: key, Status: "voided"}
		g.charges[key], g.ledger = c, append(g.ledger, "void "+key)
	}
	if c.Status == "captured" {
		return answer{http.StatusConflict, map[string]any{"code": "captured", "charge": *c}}
	}
	return answer{http.StatusOK, *c}
}

func (g *Gateway) refund(r *http.Request, _ Fault) answer {
	var req struct {
		ChargeKey, Reason string
		Amount            int64
	}
	key := r.Header.Get("Idempotency-Key")
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil || key == "" || req.Amount <= 0 {
		return refuse(http.StatusBadRequest, "bad_request")
	}
	if re, ok := g.refunds[key]; ok {
		return answer{http.StatusOK, re}
	}
	c, ok := g.charges[req.ChargeKey]
	switch {
	case !ok:
		return refuse(http.StatusNotFound, "unknown_charge")
	case c.Status != "captured":
		return refuse(http.StatusConflict, "not_captured")
	case req.Amount > c.Amount-c.Refunded:
		return refuse(http.StatusConflict, "over_refund")
	}
	c.Refunded += req.Amount
	re := refund{RefundID: "re-" + c.OrderID, Key: key, Status: "refunded", Amount: req.Amount, Currency: c.Currency}
	g.refunds[key] = re
	g.ledger = append(g.ledger, fmt.Sprintf("refund %s %d %s", key, req.Amount, req.Reason))
	return answer{http.StatusCreated, re}
}
