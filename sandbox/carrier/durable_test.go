package carrier

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// within sends a request and returns where the status of the answer will be. The caller is in a
// synctest bubble. When within returns, the answer has arrived or waits for the disk.
func within(handler http.Handler, method, path, key, body string) *atomic.Int64 {
	var status atomic.Int64
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	go func() {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, req)
		status.Store(int64(w.Code))
	}()
	synctest.Wait()
	return &status
}

// TestNoAnswerBeforeTheDiskHasIt: no answer depends on a booking that a crash could remove,
// whichever request it answers.
func TestNoAnswerBeforeTheDiskHasIt(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]struct {
		method, path, key, body string
		status                  int64
	}{
		"the same booking again": {"POST", "/v1/shipments", "k1", shipmentBody("o1"), 200},
		"the key for another":    {"POST", "/v1/shipments", "k1", shipmentBody("o2"), 422},
		"another booking":        {"POST", "/v1/shipments", "k2", shipmentBody("o2"), 201},
		"look-up":                {"GET", "/v1/shipments/k1", "", "", 200},
		"cancellation":           {"POST", "/v1/shipments/k1/cancel", "", "", 200},
		"the feed":               {"GET", "/v1/updates", "", "", 200},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var release chan struct{}
				server, err := openOn(Config{Folder: t.TempDir(), DispatchAfter: time.Hour, DeliverAfter: time.Hour, Now: time.Now},
					func(f *os.File) error { <-release; return f.Sync() })
				if err != nil {
					t.Fatal(err)
				}
				release = make(chan struct{})
				handler := server.Handler()
				first := within(handler, "POST", "/v1/shipments", "k1", shipmentBody("o1"))
				second := within(handler, ask.method, ask.path, ask.key, ask.body)
				if a, b := first.Load(), second.Load(); a != 0 || b != 0 {
					t.Errorf("answered %d and %d before the disk had it", a, b)
				}
				close(release)
				synctest.Wait()
				if a, b := first.Load(), second.Load(); a != 201 || b != ask.status {
					t.Errorf("answered %d and %d, want 201 and %d", a, b, ask.status)
				}
				if err := server.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestABrokenDiskEndsTheCarrier: nothing is answered that the journal did not store, and the
// process ends, whether a request or a due parcel is the first to use the disk.
func TestABrokenDiskEndsTheCarrier(t *testing.T) {
	t.Parallel()
	for first, due := range map[string]time.Duration{"a request": 2 * time.Hour, "a parcel that is due": time.Minute} {
		t.Run(first, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var broken atomic.Bool
				server, err := openOn(Config{Folder: t.TempDir(), DispatchAfter: due, DeliverAfter: time.Hour, Now: time.Now},
					func(f *os.File) error {
						if broken.Load() {
							return errors.New("disk gone")
						}
						return f.Sync()
					})
				if err != nil {
					t.Fatal(err)
				}
				handler := server.Handler()
				if a := within(handler, "POST", "/v1/shipments", "k1", shipmentBody("o1")).Load(); a != 201 {
					t.Fatalf("booking = %d", a)
				}
				ended := make(chan error, 1)
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				go func() { ended <- server.Run(ctx) }()
				synctest.Wait()
				if err := server.Ready(t.Context()); err != nil {
					t.Errorf("not ready with a good disk: %v", err)
				}
				broken.Store(true)
				if first == "a request" {
					if a := within(handler, "POST", "/v1/shipments", "k2", shipmentBody("o2")).Load(); a != 500 {
						t.Errorf("booking = %d", a)
					}
				}
				if err := <-ended; err == nil || !strings.Contains(err.Error(), "disk gone") {
					t.Errorf("Run = %v", err)
				}
				if err := server.Ready(t.Context()); err == nil {
					t.Error("ready with a broken disk")
				}
				for _, ask := range []struct{ method, path, key, body string }{
					{"POST", "/v1/shipments", "k3", shipmentBody("o3")}, {"POST", "/v1/shipments/k3/cancel", "", ""},
				} {
					if a := within(handler, ask.method, ask.path, ask.key, ask.body).Load(); a != 500 {
						t.Errorf("%s %s = %d", ask.method, ask.path, a)
					}
				}
				if s, ok := server.book.shipments["k3"]; ok {
					t.Errorf("the book has %+v, which the journal refused", s)
				}
				_ = server.Close() // fails with the error of the disk
			})
		})
	}
}

// TestATornTailIsCutOff: see the gateway's test of the same name.
func TestATornTailIsCutOff(t *testing.T) {
	r := newFixture(t)
	r.schedule("k1", "o1")
	r.close()
	path := filepath.Join(r.folder, "carrier.jsonl")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	torn := strings.Replace(string(whole[:len(whole)-1]), "o1", strings.Repeat("9", 1<<10), 1)
	if err := os.WriteFile(path, append(whole, torn...), 0o600); err != nil {
		t.Fatal(err)
	}
	r.open(time.Hour)
	if cut, err := os.ReadFile(path); err != nil || string(cut) != string(whole) {
		t.Errorf("the file has %d bytes once it is open, want %d: %v", len(cut), len(whole), err)
	}
	if a := r.must("POST", "/v1/shipments/k2/cancel", "", `{"orderId":"o2"}`); a.HTTP != 200 {
		t.Fatalf("cancel = %+v", a)
	}
	r.restart()
	if a := r.must("GET", "/v1/shipments/k1", "", ""); a.Status != StatusScheduled {
		t.Errorf("the parcel from before the crash = %+v", a)
	}
	if a := r.must("GET", "/v1/shipments/k2", "", ""); a.Status != StatusCancelled {
		t.Errorf("the cancellation after it = %+v", a)
	}
}

// TestAFeedIsReadOn: a page begins after the last line of the previous page.
func TestAFeedIsReadOn(t *testing.T) {
	r := newFixture(t)
	for _, key := range []string{"k1", "k2"} {
		r.schedule(key, "o-"+key)
	}
	r.pass(10 * time.Second)
	first := r.must("GET", "/v1/updates?limit=1", "", "")
	rest := r.must("GET", "/v1/updates?after="+strconv.FormatInt(first.Next, 10), "", "")
	if len(first.Updates) != 1 || len(rest.Updates) != 1 || first.Updates[0].Key == rest.Updates[0].Key {
		t.Errorf("%+v, then %+v", first.Updates, rest.Updates)
	}
	if rest.Updates[0].OrderID != "o-"+rest.Updates[0].Key {
		t.Errorf("update = %+v", rest.Updates[0])
	}
}

// TestACancelledParcelNeverLeaves, whatever was scheduled before.
func TestACancelledParcelNeverLeaves(t *testing.T) {
	r := newFixture(t)
	r.schedule("k1", "o1")
	r.pass(10*time.Second - time.Nanosecond)
	if a := r.must("POST", "/v1/shipments/k1/cancel", "", ""); a.HTTP != 200 {
		t.Fatalf("cancel at the last moment = %+v", a)
	}
	r.pass(time.Hour)
	r.wantFeed()
	r.restart()
	r.pass(time.Hour)
	r.wantFeed()
	if a := r.must("GET", "/v1/shipments/k1", "", ""); a.Status != StatusCancelled {
		t.Errorf("look-up = %+v", a)
	}
}
