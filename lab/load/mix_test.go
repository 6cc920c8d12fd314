package load_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/lab/load"
)

// world serves order, inventory and gateway at one address. It decides an order at the second
// request for it.
type world struct {
	t         *testing.T
	undecided string // SKU of orders that are never decided
	lose      bool   // orders disappear after 201

	mu       sync.Mutex
	keys     map[string]string
	orders   map[string]*placed
	declines map[string]bool // customers
	received int
	styles   map[string]int // orders by their field "saga"
	ordered  int            // pieces, except those out of stock
}

type placed struct {
	customer, sku string
	quantity      int
	asked         int
	cancelled     bool
}

func newWorld(t *testing.T) (*world, string) {
	w := &world{t: t, keys: map[string]string{}, orders: map[string]*placed{}, declines: map[string]bool{}, styles: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders", w.place)
	mux.HandleFunc("POST /orders/{id}/cancel", w.cancel)
	mux.HandleFunc("GET /orders/{id}", w.get)
	mux.HandleFunc("POST /stock/{sku}/receipts", w.receive)
	mux.HandleFunc("POST /faults", w.fault)
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		mux.ServeHTTP(rw, r)
	}))
	t.Cleanup(srv.Close)
	return w, srv.URL
}

func (w *world) place(rw http.ResponseWriter, r *http.Request) {
	var body struct {
		Customer struct{ ID string }
		Items    []struct {
			SKU      string
			Quantity int
		}
		Saga string
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		w.t.Error(err)
	}
	key := r.Header.Get("Idempotency-Key")
	if w.keys[key] == "" { // the first answer is lost
		id := fmt.Sprintf("order-%d", len(w.orders))
		p := &placed{customer: body.Customer.ID, sku: body.Items[0].SKU, quantity: body.Items[0].Quantity}
		w.keys[key], w.orders[id] = id, p
		w.styles[body.Saga]++
		if p.quantity < 1000 {
			w.ordered += p.quantity
		}
		rw.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	created(rw, w.keys[key])
}

func (w *world) cancel(rw http.ResponseWriter, r *http.Request) {
	w.orders[r.PathValue("id")].cancelled = true
	rw.WriteHeader(http.StatusAccepted)
}

func (w *world) get(rw http.ResponseWriter, r *http.Request) {
	p := w.orders[r.PathValue("id")]
	p.asked++
	switch {
	case w.lose:
		rw.WriteHeader(http.StatusNotFound)
	case p.asked < 2 || p.sku == w.undecided:
		fmt.Fprint(rw, `{"status":"PENDING"}`)
	case p.cancelled && p.asked < 3:
		fmt.Fprint(rw, `{"status":"CONFIRMED"}`) // its cancellation is under way
	case p.cancelled:
		fmt.Fprint(rw, `{"status":"CANCELLED","cancelled":{"reason":"customer"}}`)
	case w.declines[p.customer]:
		fmt.Fprint(rw, `{"status":"CANCELLED","cancelled":{"reason":"payment_failed"}}`)
	case p.quantity == 1000:
		fmt.Fprint(rw, `{"status":"CANCELLED","cancelled":{"reason":"out_of_stock"}}`)
	default:
		fmt.Fprint(rw, `{"status":"CONFIRMED"}`)
	}
}

func (w *world) receive(rw http.ResponseWriter, r *http.Request) {
	var body struct{ Quantity int }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || r.Header.Get("Idempotency-Key") == "" {
		w.t.Errorf("a receipt without a key or of %v", err)
	}
	w.received += body.Quantity
	rw.WriteHeader(http.StatusCreated)
}

func (w *world) fault(rw http.ResponseWriter, r *http.Request) {
	var rule struct {
		ID, Decline string
		Match       struct{ CustomerID string }
	}
	if err := json.NewDecoder(r.Body).Decode(&rule); err != nil || rule.ID == "" || rule.Decline == "" || rule.Match.CustomerID == "" {
		w.t.Errorf("a rule that is nobody's, or for everybody: %+v %v", rule, err)
	}
	w.declines[rule.Match.CustomerID] = true
	rw.WriteHeader(http.StatusCreated)
}

func nobody(load.Counts) {}

func TestAMixIsFollowedUntilItIsDecided(t *testing.T) {
	t.Parallel()
	w, url := newWorld(t)
	got := load.Mix{Order: url, Inventory: url, Gateway: url, PerSecond: 200, Orders: 18, Patience: 20 * time.Second}.
		Run(t.Context(), time.Hour, nobody)
	want := load.Counts{Placed: 18, Confirmed: 12, Failed: map[string]int{},
		Cancelled: map[string]int{"payment_failed": 2, "out_of_stock": 2, "customer": 2}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if w.received != w.ordered || w.ordered == 0 {
		t.Errorf("%d pieces received, %d ordered", w.received, w.ordered)
	}
	if len(w.orders) != 18 || w.styles[""] != 18 {
		t.Errorf("%d orders, want 18; styles %v", len(w.orders), w.styles)
	}
}

// TestAMixHasStyles: of a mixed load, every second order is orchestrated.
func TestAMixHasStyles(t *testing.T) {
	t.Parallel()
	for style, want := range map[load.Styles]map[string]int{
		load.Mixed:      {"choreographed": 9, "orchestrated": 9},
		"orchestrated":  {"orchestrated": 18},
		"choreographed": {"choreographed": 18},
	} {
		w, url := newWorld(t)
		load.Mix{Order: url, PerSecond: 200, Orders: 18, Saga: style, Patience: 20 * time.Second}.Run(t.Context(), time.Hour, nobody)
		if diff := cmp.Diff(want, w.styles); diff != "" {
			t.Errorf("%s: %s", style, diff)
		}
		if err := style.Check(); err != nil {
			t.Error(err)
		}
	}
	if err := load.Styles("danced").Check(); err == nil {
		t.Error("a style that there is not is accepted")
	}
}

func TestAMixWithoutGatewayAndInventoryLeavesThemAlone(t *testing.T) {
	t.Parallel()
	w, url := newWorld(t)
	got := load.Mix{Order: url, PerSecond: 200, Orders: 9, Patience: 20 * time.Second}.Run(t.Context(), time.Hour, nobody)
	if got.Confirmed != 7 || got.Failures() != 0 || w.received != 0 || len(w.declines) != 0 {
		t.Errorf("%+v, %d pieces received, %v declined", got, w.received, w.declines)
	}
}

func TestWhatGoesWrongIsCounted(t *testing.T) {
	t.Parallel()
	t.Run("undecided", func(t *testing.T) {
		t.Parallel()
		w, url := newWorld(t)
		w.undecided = "UNICORN-00"
		got := load.Mix{Order: url, PerSecond: 200, Orders: 9, Patience: 5 * time.Second}.Run(t.Context(), time.Hour, nobody)
		if got.Failed["order decided"] != 1 || got.Failures() != 1 || got.Waiting != 0 || !strings.Contains(got.Example, "PENDING") {
			t.Errorf("%+v", got)
		}
	})
	t.Run("promised and lost", func(t *testing.T) {
		t.Parallel()
		w, url := newWorld(t)
		w.lose = true
		got := load.Mix{Order: url, PerSecond: 200, Orders: 3, Patience: 20 * time.Second}.Run(t.Context(), time.Hour, nobody)
		if got.Failed["order decided"] != 3 || !strings.Contains(got.Example, "is not there") {
			t.Errorf("%+v", got)
		}
	})
}

func TestAMixWithoutEndIsEndedWithoutAFailure(t *testing.T) {
	t.Parallel()
	_, url := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reports := 0
	got := load.Mix{Order: url, Inventory: url, Gateway: url, PerSecond: 100, Patience: time.Minute}.
		Run(ctx, 10*time.Millisecond, func(c load.Counts) {
			if reports++; c.Confirmed >= 5 {
				cancel()
			}
		})
	if got.Confirmed < 5 || got.Failures() != 0 || got.Waiting != 0 || reports == 0 {
		t.Errorf("%+v after %d reports", got, reports)
	}
}
