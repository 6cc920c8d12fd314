package scenarios

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// The order service has the end of an order before the read model.
func TestTheStoryHasItsLastEvents(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	asked := 0
	mux := http.NewServeMux()
	mux.HandleFunc("GET /truth/orders/o1", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"status": "DELIVERED"}`) })
	mux.HandleFunc("GET /view/orders/o1", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked++
		status, events := "CONFIRMED", `{"eventId": "a", "type": "OrderCreated", "occurredAt": "2026-01-02T03:04:05.678Z"}`
		if asked > 3 {
			status = "DELIVERED"
			events += `, {"eventId": "b", "type": "OrderDelivered", "detail": "at the door", "occurredAt": "2026-01-02T03:04:07.125Z"}`
		}
		fmt.Fprintf(w, `{"status": %q, "timeline": [%s]}`, status, events)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	var out strings.Builder
	seen := func(at time.Time, text string) {
		fmt.Fprintf(&out, "    %s  %s\n", at.Local().Format("15:04:05.000"), text)
	}
	s := &shop{Endpoints: Endpoints{Order: server.URL + "/truth", Projection: server.URL + "/view"}, http: server.Client(), report: Report{Seen: seen}, shown: map[string]map[string]bool{}}
	if status, err := s.await(t.Context(), "o1", "DELIVERED"); err != nil || status != "DELIVERED" {
		t.Fatalf("%s, %v", status, err)
	}
	s.rest(t.Context())
	at := func(moment string) string {
		parsed, err := time.Parse(time.RFC3339, moment)
		if err != nil {
			t.Fatal(err)
		}
		return parsed.Local().Format("15:04:05.000")
	}
	want := fmt.Sprintf("    %s  OrderCreated\n    %s  OrderDelivered (at the door)\n", at("2026-01-02T03:04:05.678Z"), at("2026-01-02T03:04:07.125Z"))
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestPlantedFaultsAreSetAsideAndPutBack(t *testing.T) {
	t.Parallel()
	planted := map[string][]string{
		"gateway": {`{"id":"fault-1","match":{"operation":"charge"},"answerLost":true,"times":2}`, `{"id":"outage","match":{},"down":true}`},
		"carrier": nil,
	}
	var mu sync.Mutex
	mux := http.NewServeMux()
	mux.HandleFunc("/{server}/faults", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		server := r.PathValue("server")
		switch r.Method {
		case http.MethodGet:
			fmt.Fprintf(w, `{"faults": [%s]}`, strings.Join(planted[server], ","))
		case http.MethodDelete:
			planted[server] = nil
		case http.MethodPost:
			var rule json.RawMessage
			if err := json.NewDecoder(r.Body).Decode(&rule); err != nil {
				t.Error(err)
			}
			planted[server] = append(planted[server], string(rule))
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	before := strings.Join(planted["gateway"], "\n")
	var out strings.Builder
	s := &shop{Endpoints: Endpoints{Gateway: server.URL + "/gateway", Carrier: server.URL + "/carrier"}, http: server.Client(), report: Report{Note: func(text string) { out.WriteString(text) }}}
	putBack, err := s.setAside(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(planted["gateway"]) > 0 || !strings.Contains(out.String(), `"times":2`) {
		t.Errorf("left: %v, said: %s", planted, out.String())
	}
	if err := putBack(); err != nil {
		t.Fatal(err)
	}
	if after := strings.Join(planted["gateway"], "\n"); after != before || len(planted["carrier"]) > 0 {
		t.Errorf("put back: %v", planted)
	}
}
