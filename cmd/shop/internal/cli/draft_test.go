package cli_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// drafts is an order service with one draft at version 3. It notes what it is asked.
type drafts struct {
	mu  sync.Mutex
	all []string
}

func (d *drafts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = append(d.all, strings.Join(strings.Fields(fmt.Sprint(r.Method, " ", r.URL, " ", r.Header.Get("If-Match"), " ", string(body))), " "))
	switch match := r.Header.Get("If-Match"); {
	case r.URL.Path == "/orders" && r.Method == http.MethodGet:
		io.WriteString(w, `{"drafts": [{"orderId": "`+orderID(1)+`", "version": 3, "customerId": "cust-7", "items": 1, "totalAmount": 59.98, "currency": "GBP", "updatedAt": "2026-01-31T12:00:00Z"}]}`)
	case r.URL.Path == "/orders" && r.Header.Get("Idempotency-Key") == "":
		w.WriteHeader(http.StatusBadRequest)
	case match != "" && match != `"3"`:
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusPreconditionFailed)
		io.WriteString(w, `{"status": 412, "title": "Precondition Failed", "detail": "the order is at version 3"}`)
	default:
		io.WriteString(w, `{"orderId": "`+orderID(1)+`", "status": "DRAFT", "version": 3, "items": [{"sku": "A", "quantity": 2, "unitPrice": 29.99}], "totalAmount": 59.98, "currency": "GBP"}`)
	}
}

func TestDrafts(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	service := &drafts{}
	server := httptest.NewServer(service)
	defer server.Close()
	s.stateIs(map[string]any{"ports": map[string]int{}, "operators": map[string]string{}, "urls": map[string]string{"order": server.URL}})
	id, order := orderID(1), "/orders/"+orderID(1)
	look := "GET " + order
	for _, tt := range []struct {
		args string
		want []string // requests
	}{
		{"create --customer cust-7 --name Ada --email ada@example.com",
			[]string{`POST /orders {"currency":"GBP","customer":{"id":"cust-7","name":"Ada","email":"ada@example.com"},"draft":true}`}},
		{"add " + id + " A 2 29.990", []string{look, `POST ` + order + `/items "3" {"quantity":2,"sku":"A","unitPrice":29.990}`}},
		{"remove " + id + " A/B --version 3", []string{`DELETE ` + order + `/items/A%2FB "3"`}},
		{"address " + id + " --street S --city C --postal-code P --country GB",
			[]string{look, `PUT ` + order + `/address "3" {"street":"S","city":"C","postalCode":"P","country":"GB"}`}},
		{"place " + id + " --version 3", []string{`POST ` + order + `/place "3"`}},
		{"discard " + id, []string{look, `DELETE ` + order + ` "3"`}},
	} {
		service.all = nil
		out := s.must(append([]string{"draft"}, strings.Fields(tt.args)...)...)
		s.has(out, "order "+id+"  DRAFT  version 3\n", "  2 × A at 29.99\n", "total 59.98 GBP\n")
		if diff := cmp.Diff(tt.want, service.all); diff != "" {
			t.Errorf("%s: %s", tt.args, diff)
		}
	}
	if v := decode(t, s.must("draft", "place", id, "--json")); v["status"] != "DRAFT" {
		t.Errorf("%v", v)
	}
	service.all = nil
	s.has(s.must("draft", "list", "--customer", "cust-7", "--limit", "5"), id, "cust-7", "59.98 GBP")
	if diff := cmp.Diff([]string{"GET /orders?customerId=cust-7&draft=true&limit=5"}, service.all); diff != "" {
		t.Error(diff)
	}
	s.fails([]string{"draft", "place", id, "--version", "2"}, "the order is at version 3")
	service.all = nil
	s.fails([]string{"draft", "place", id, "--version", "0"}, "versions begin at 1")
	s.fails([]string{"draft", "add", id, "A", "two", "1"}, `"two" is no number`)
	s.fails([]string{"draft", "add", id, "A", "2", "NaN"}, `"NaN" is no number`)
	s.fails([]string{"draft", "create", "--customer", "c"}, "required flag")
	if len(service.all) != 0 {
		t.Errorf("asked before the arguments were checked: %v", service.all)
	}
}
