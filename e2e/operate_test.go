package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"eventshop.example/ops/eventshop"
)

// logged returns what a process has logged since an offset in its log, and the new end. Logs of
// containers are not files.
func (s *stack) logged(t testing.TB, process string, since int) (lines []string, end int) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "logs", process+".log"))
	if err != nil || len(text) < since {
		t.Fatalf("log of %s from byte %d of %d: %v", process, since, len(text), err)
	}
	for line := range strings.Lines(string(text[since:])) {
		lines = append(lines, strings.TrimSpace(line))
	}
	return lines, len(text)
}

// TestInfoHasOneLinePerOrder reads the log lines of orders of each kind in the services' logs.
func TestInfoHasOneLinePerOrder(t *testing.T) {
	if composed() {
		t.Skip("reads the files that processes log to")
	}
	s := shared(t)
	since := map[string]int{}
	for _, name := range eventshop.Services() {
		_, since[name] = s.logged(t, name, 0)
	}
	s.fault(t, "gateway", `{"match":{"customerId":"logs-poor"},"decline":"insufficient_funds"}`)
	s.receive(t, "LOGS-1", 5)
	ids := map[string]string{}
	for customer, sku := range map[string]string{"logs-happy": "LOGS-1", "logs-poor": "LOGS-1", "logs-lost": "LOGS-UNKNOWN"} {
		ids[s.place(t, customer, sku, 1)] = customer
	}
	for id, customer := range ids {
		if customer == "logs-happy" {
			s.awaitSaga(t, id, "DELIVERED", "OrderDelivered")
		} else {
			s.awaitSaga(t, id, "CANCELLED", "OrderCancelled")
		}
	}
	for _, name := range eventshop.Services() {
		lines, _ := s.logged(t, name, since[name])
		info := map[string]int{}
		for _, text := range lines {
			var line struct{ Level, Service, OrderID string }
			if err := json.Unmarshal([]byte(text), &line); err != nil || line.Service != name {
				t.Errorf("%s logs a line without its name: %s (%v)", name, text, err)
			}
			for id := range ids {
				if strings.Contains(text, id) && line.OrderID != id {
					t.Errorf("%s logs a line about %s without orderId: %s", name, id, text)
				}
			}
			if line.Level == "INFO" {
				info[line.OrderID]++
			}
		}
		for id, customer := range ids {
			if n := info[id]; n > 1 || n == 0 && name == "order" {
				t.Errorf("%s logs %d lines at INFO about the order of %s", name, n, customer)
			}
		}
	}
}

// TestProfilesAreForOperators checks that no public API serves profiles.
func TestProfilesAreForOperators(t *testing.T) {
	s := shared(t)
	for name, operators := range s.Operators {
		if a := get(t, operators+"/debug/pprof/goroutine?debug=1"); a.status != http.StatusOK || !strings.Contains(string(a.body), "goroutine profile") {
			t.Errorf("operators of %s: %d %.100s", name, a.status, a.body)
		}
	}
	for _, name := range append(eventshop.Services(), eventshop.Outside()...) {
		for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap"} {
			if a := get(t, s.URL[name]+path); a.status != http.StatusNotFound {
				t.Errorf("%s%s: %d", name, path, a.status)
			}
		}
	}
}

// TestTheOutsideWorldAnswersAsTheServicesDo checks exact decimals in the gateway's ledger, and
// problem documents from gateway and carrier.
func TestTheOutsideWorldAnswersAsTheServicesDo(t *testing.T) {
	s := shared(t)
	s.receive(t, "LEDGER-1", 1)
	id := s.place(t, "ledger", "LEDGER-1", 1) // 10.00
	s.awaitStatus(t, id, "DELIVERED")
	charge := get(t, s.URL["gateway"]+"/v1/charges/charge-"+id)
	if charge.field(t, "amountMinor") != "1000" {
		t.Errorf("charge %s", charge.body)
	}
	shown := ""
	for after, more := int64(0), true; more; {
		a := get(t, fmt.Sprintf("%s/v1/ledger?after=%d", s.URL["gateway"], after))
		var page struct {
			Entries []struct {
				Seq     int64
				OrderID string
				Amount  json.RawMessage
			}
		}
		if err := json.Unmarshal(a.body, &page); err != nil {
			t.Fatalf("%v: %s", err, a.body)
		}
		for _, e := range page.Entries {
			if after = e.Seq; e.OrderID == id {
				shown += string(e.Amount) + " "
			}
		}
		more = len(page.Entries) > 0
	}
	if shown != "10.00 " {
		t.Errorf("the ledger shows %q of an order of 10.00", shown)
	}
	for _, at := range []string{
		s.URL["gateway"] + "/v1/charges/none", s.URL["gateway"] + "/none", s.URL["gateway"] + "/v1/ledger?after=x",
		s.URL["carrier"] + "/v1/shipments/none", s.URL["carrier"] + "/none", s.URL["carrier"] + "/v1/updates?limit=0",
	} {
		if a := get(t, at); a.status/100 != 4 || a.header.Get("Content-Type") != "application/problem+json" || a.field(t, "code") == "" {
			t.Errorf("GET %s: %d %s", at, a.status, a.body)
		}
	}
}

// TestAnUnknownSKUIsNamed checks that the cancellation names the SKU, which the order service
// cannot validate.
func TestAnUnknownSKUIsNamed(t *testing.T) {
	s := shared(t)
	id := s.place(t, "unknown", "NEVER-STOCKED-1", 1)
	s.awaitStatus(t, id, "CANCELLED")
	a := get(t, s.URL["order"]+"/orders/"+id)
	var order struct {
		Cancellation struct{ Reason, Detail string }
	}
	if err := json.Unmarshal(a.body, &order); err != nil || order.Cancellation.Reason != "out_of_stock" ||
		!strings.Contains(order.Cancellation.Detail, "NEVER-STOCKED-1") || !strings.Contains(order.Cancellation.Detail, "unknown") {
		t.Errorf("cancelled for %+v: %v", order.Cancellation, err)
	}
}

// TestSlowClientsDoNotMakeAStopFail stops the whole shop while clients have connections to every
// listener: with half a header, half a body, an idle connection, and an unread answer. Every
// process ends by itself, in time and without an error.
func TestSlowClientsDoNotMakeAStopFail(t *testing.T) {
	if composed() {
		t.Skip("reads the files that processes log to")
	}
	s := shared(t)
	processes := append(eventshop.Services(), eventshop.Outside()...)
	since := map[string]int{}
	for _, name := range processes {
		_, since[name] = s.logged(t, name, 0)
	}
	hold := func(at, path string) {
		t.Helper()
		u, err := url.Parse(at)
		if err != nil {
			t.Fatal(err)
		}
		const post = "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nIdempotency-Key: slow\r\nContent-Length: 100\r\n\r\n{"
		for _, text := range []string{
			"", "POST /orders HT", fmt.Sprintf(post, path),
			strings.Repeat("GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n", 2000),
		} {
			conn, err := net.DialTimeout("tcp", u.Host, 5*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			if err := conn.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(conn, text) // the server stops to read what it cannot answer
		}
	}
	hold(s.URL["order"], "/orders")
	hold(s.URL["inventory"], "/stock/A/receipts")
	hold(s.URL["payment"], "/payments/01936f2e-7a10-7cc3-9d5e-0242ac120002/refund-retry")
	hold(s.URL["gateway"], "/v1/charges")
	hold(s.URL["carrier"], "/v1/shipments")
	hold(s.URL["shipping"], "/shipments")
	hold(s.URL["projection"], "/orders")
	hold(s.URL["registry"], "/subjects/slow/versions")
	for _, operators := range s.Operators {
		hold(operators, "/skips")
	}
	s.must(t, "down")
	defer s.must(t, "up", "--detach")
	for _, name := range processes {
		lines, _ := s.logged(t, name, since[name])
		end := strings.Join(lines[max(0, len(lines)-4):], "\n")
		if !strings.Contains(end, `"service stopped"`) {
			t.Errorf("%s did not stop cleanly: %s", name, end)
		}
	}
}
