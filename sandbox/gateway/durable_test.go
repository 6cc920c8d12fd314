package gateway

import (
	"context"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// disk is a disk that a test can block or break.
type disk struct {
	mu      sync.Mutex
	release chan struct{} // nil: fsyncs are done at once
	broken  error
}

func (d *disk) sync(f *os.File) error {
	d.mu.Lock()
	release, broken := d.release, d.broken
	d.mu.Unlock()
	if release != nil {
		<-release
	}
	if broken != nil {
		return broken
	}
	return f.Sync()
}

// hold blocks the fsyncs that begin from now on, until resume.
func (d *disk) hold() (resume func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	release := make(chan struct{})
	d.release = release
	return func() {
		d.mu.Lock()
		d.release = nil
		d.mu.Unlock()
		close(release)
	}
}

func (d *disk) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.broken = err
}

// TestNoAnswerBeforeTheDiskHasIt: no answer is sent before the disk has everything that it depends
// on. That holds for a first and a repeated answer, a lookup, a void, a refund and a page of the
// ledger.
func TestNoAnswerBeforeTheDiskHasIt(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]struct {
		method, path, key, body string
		status                  int
	}{
		"the same charge again": {"POST", "/v1/charges", "k1", chargeBody("o1", 500), 200},
		"the key for another":   {"POST", "/v1/charges", "k1", chargeBody("o1", 501), 422},
		"look-up":               {"GET", "/v1/charges/k1", "", "", 200},
		"look-up of nothing":    {"GET", "/v1/charges/k9", "", "", 404},
		"void":                  {"POST", "/v1/charges/k1/void", "", "", 409},
		"another charge":        {"POST", "/v1/charges", "k2", chargeBody("o2", 500), 201},
		"a refund":              {"POST", "/v1/refunds", "r1", `{"chargeKey":"k1","amount":500}`, 201},
		"a refund of too much":  {"POST", "/v1/refunds", "r1", `{"chargeKey":"k1","amount":501}`, 409},
		"the ledger":            {"GET", "/v1/ledger", "", "", 200},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &disk{}
				server, err := openOn(t.TempDir(), time.Now, d.sync)
				if err != nil {
					t.Fatal(err)
				}
				handler := server.Handler()
				// send sends a request and returns where the status of the answer will be.
				send := func(method, path, key, body string) *atomic.Int64 {
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
					synctest.Wait() // the request is answered, or waits for the disk
					return &status
				}
				resume := d.hold()
				first := send("POST", "/v1/charges", "k1", chargeBody("o1", 500))
				second := send(ask.method, ask.path, ask.key, ask.body)
				if a, b := first.Load(), second.Load(); a != 0 || b != 0 {
					t.Errorf("answered %d and %d before the disk had it", a, b)
				}
				resume()
				synctest.Wait()
				if a, b := first.Load(), second.Load(); a != 201 || b != int64(ask.status) {
					t.Errorf("answered %d and %d, want 201 and %d", a, b, ask.status)
				}
				if err := server.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// newFixtureOn returns a gateway on that disk.
func newFixtureOn(t *testing.T, d *disk) *fixture {
	t.Helper()
	r := &fixture{t: t, folder: t.TempDir()}
	server, err := openOn(r.folder, time.Now, d.sync)
	if err != nil {
		t.Fatal(err)
	}
	r.server, r.http = server, httptest.NewServer(server.Handler())
	return r
}

// TestABrokenDiskEndsTheGateway: the gateway does not answer what the journal did not store. It
// reports the error, and its process ends.
func TestABrokenDiskEndsTheGateway(t *testing.T) {
	t.Parallel()
	d := &disk{}
	r := newFixtureOn(t, d)
	t.Cleanup(func() {
		r.http.Close()
		_ = r.server.Close() // fails with the error of the disk
	})
	if a := r.must("POST", "/v1/charges", "k1", chargeBody("o1", 500)); a.Status != 201 {
		t.Fatalf("charge = %+v", a)
	}
	if err := r.server.Ready(context.Background()); err != nil {
		t.Errorf("not ready with a good disk: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- r.server.Run(context.Background()) }()
	d.fail(errors.New("disk gone"))
	for range 2 { // the second request does not reach the disk any more
		if a := r.must("POST", "/v1/charges", "k2", chargeBody("o2", 500)); a.Status != 500 || a.Code != "ledger_unavailable" {
			t.Errorf("charge = %+v", a)
		}
	}
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(err.Error(), "disk gone") {
			t.Errorf("Run = %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("Run goes on with a broken disk")
	}
	if err := r.server.Ready(context.Background()); err == nil {
		t.Error("ready with a broken disk")
	}
	for _, ask := range []struct{ method, path, key, body string }{
		{"POST", "/v1/charges", "k3", chargeBody("o3", 500)},
		{"POST", "/v1/charges/k3/void", "", ""},
		{"POST", "/v1/refunds", "r1", `{"chargeKey":"k1","amount":1}`},
	} {
		if a := r.must(ask.method, ask.path, ask.key, ask.body); a.Status != 500 {
			t.Errorf("%s %s = %+v", ask.method, ask.path, a)
		}
	}
	if kinds := len(r.server.ledger.entries); kinds > 2 {
		t.Errorf("the ledger has %d entries; nothing that the journal refused may be in it", kinds)
	}
}

// TestATornTailIsCutOff: the crash came during a write. No answer depended on that line, so the
// next newFixture removes it, and the newFixture after that finds a valid ledger.
func TestATornTailIsCutOff(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	if a := r.must("POST", "/v1/charges", "k1", chargeBody("o1", 500)); a.Status != 201 {
		t.Fatalf("charge = %+v", a)
	}
	r.close()
	path := filepath.Join(r.folder, "gateway.jsonl")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// Longer than the next line, so that a tail that is not removed would remain after it.
	torn := strings.Replace(string(whole[:len(whole)-1]), "o1", strings.Repeat("9", 1<<10), 1)
	if err := os.WriteFile(path, append(whole, torn...), 0o600); err != nil {
		t.Fatal(err)
	}
	r.open()
	if cut, err := os.ReadFile(path); err != nil || string(cut) != string(whole) {
		t.Errorf("the file has %d bytes once it is open, want %d: %v", len(cut), len(whole), err)
	}
	r.wantKinds("o1", KindCapture)
	if a := r.must("POST", "/v1/charges/k2/void", "", `{"orderId":"o2"}`); a.Status != 200 {
		t.Fatalf("void = %+v", a)
	}
	r.restart()
	r.wantKinds("o1", KindCapture)
	r.wantKinds("o2", KindVoid)
	if a := r.must("POST", "/v1/charges", "k1", chargeBody("o1", 500)); a.Status != 200 {
		t.Errorf("the same key after the crash = %+v", a)
	}
}
