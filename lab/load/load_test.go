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

	"eventshop.example/lab/load"
)

// shop answers POST /orders with one order per idempotency key.
type shop struct {
	mu     sync.Mutex
	orders map[string]string // key → order
	asked  int
	answer func(asked int, key, order string, w http.ResponseWriter)
}

func serve(t *testing.T, answer func(asked int, key, order string, w http.ResponseWriter)) (*shop, string) {
	t.Helper()
	s := &shop{orders: map[string]string{}, answer: answer}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		key := r.Header.Get("Idempotency-Key")
		if s.orders[key] == "" {
			s.orders[key] = fmt.Sprintf("order-%d", len(s.orders)+1)
		}
		s.asked++
		s.answer(s.asked, key, s.orders[key], w)
	}))
	t.Cleanup(srv.Close)
	return s, srv.URL
}

func created(w http.ResponseWriter, order string) {
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintf(w, `{"orderId":%q}`, order)
}

func await(t *testing.T, l *load.Load, n int) {
	t.Helper()
	deadline, tick := time.After(20*time.Second), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for l.Placed() < n {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%d orders placed, want %d", l.Placed(), n)
		}
	}
}

func TestClientsRepeatWithTheirKeyUntilTheyHaveAnAnswer(t *testing.T) {
	t.Parallel()
	s, url := serve(t, func(asked int, _, order string, w http.ResponseWriter) {
		switch asked % 4 {
		case 1:
			panic(http.ErrAbortHandler) // done, but the client gets no answer
		case 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 3:
			w.WriteHeader(http.StatusConflict) // in flight
		default:
			created(w, order)
		}
	})
	l := load.Start(t.Context(), load.Config{SKU: "A", PerSecond: 50, Customers: []string{"ada"}, Orders: []string{url}})
	await(t, l, 5)
	promised, err := l.Stop()
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(promised) != len(s.orders) {
		t.Errorf("%d orders promised, %d keys sent", len(promised), len(s.orders))
	}
	if again, err := l.Stop(); err != nil || len(again) != len(promised) {
		t.Errorf("a second Stop says %d orders, %v", len(again), err)
	}
}

func TestWhatIsWrongForAClientIsAnErrorOfStop(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer func(asked int, key, order string, w http.ResponseWriter)
		strict bool
		want   string
	}{
		"refused": {want: "422", answer: func(_ int, _, _ string, w http.ResponseWriter) { w.WriteHeader(http.StatusUnprocessableEntity) }},
		"one order for two": {want: "promised to two clients", answer: func(_ int, _, _ string, w http.ResponseWriter) {
			created(w, "the-same")
		}},
		"no order":            {want: "names no order", answer: func(_ int, _, _ string, w http.ResponseWriter) { w.WriteHeader(http.StatusCreated) }},
		"first answer counts": {strict: true, want: "503", answer: firstFails()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			heard := make(chan struct{}, 1000)
			_, url := serve(t, func(asked int, key, order string, w http.ResponseWriter) {
				c.answer(asked, key, order, w)
				heard <- struct{}{}
			})
			l := load.Start(t.Context(), load.Config{SKU: "A", PerSecond: 100, Customers: []string{"ada"}, Orders: []string{url}})
			l.InsistOnFirst(c.strict)
			for range 5 {
				<-heard
			}
			if _, err := l.Stop(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Stop: %v, want %q in it", err, c.want)
			}
		})
	}
}

// firstFails refuses the first request of each key and accepts a repetition.
func firstFails() func(asked int, key, order string, w http.ResponseWriter) {
	seen := map[string]bool{}
	return func(_ int, key, order string, w http.ResponseWriter) {
		if seen[key] {
			created(w, order)
			return
		}
		seen[key] = true
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

func TestReplicasTakeTurns(t *testing.T) {
	t.Parallel()
	answer := func(_ int, key, _ string, w http.ResponseWriter) { created(w, key) }
	first, a := serve(t, answer)
	second, b := serve(t, answer)
	l := load.Start(t.Context(), load.Config{SKU: "A", PerSecond: 100, Customers: []string{"ada"}, Orders: []string{a}})
	await(t, l, 3)
	second.mu.Lock()
	early := second.asked
	second.mu.Unlock()
	l.Spread(a, b)
	await(t, l, l.Placed()+10)
	if _, err := l.Stop(); err != nil {
		t.Fatal(err)
	}
	if early != 0 || first.asked == 0 || second.asked == 0 {
		t.Errorf("asked %d and %d times, the second %d times before it was known", first.asked, second.asked, early)
	}
}

func TestInsistEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	_, url := serve(t, func(asked int, _, _ string, w http.ResponseWriter) {
		if asked == 2 {
			cancel()
		}
		w.WriteHeader(http.StatusBadGateway)
	})
	_, err := load.NewClient().Insist(ctx, func() string { return url }, "{}", "k", http.StatusCreated)
	if err == nil || !strings.Contains(err.Error(), "no answer") {
		t.Errorf("Insist: %v", err)
	}
}

func TestBodyIsAnOrder(t *testing.T) {
	t.Parallel()
	var got struct {
		Customer             struct{ ID string }
		Items                []struct{ Quantity int }
		TotalAmount          json.Number
		ConfirmWithinSeconds *int
		Saga                 *string
	}
	for _, o := range []load.Order{
		{Customer: `a"b`, SKU: "S", Quantity: 3}, {Customer: "a", SKU: "S", Quantity: 3, Within: 7 * time.Second},
		{Customer: "a", SKU: "S", Quantity: 3, Saga: "orchestrated"},
	} {
		got.ConfirmWithinSeconds, got.Saga = nil, nil
		if err := json.Unmarshal([]byte(o.Body()), &got); err != nil {
			t.Fatal(err)
		}
		if got.Customer.ID != o.Customer || got.Items[0].Quantity != 3 || got.TotalAmount != "30.00" {
			t.Errorf("%+v makes %s", o, o.Body())
		}
		if within := got.ConfirmWithinSeconds; (within == nil) != (o.Within == 0) || within != nil && *within != 7 {
			t.Errorf("%+v makes %s", o, o.Body())
		}
		if (got.Saga == nil) != (o.Saga == "") || got.Saga != nil && *got.Saga != o.Saga {
			t.Errorf("%+v makes %s", o, o.Body())
		}
	}
}
