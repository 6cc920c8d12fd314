package registry_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"eventshop.example/local/registry"
	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/schema"
)

func (s *server) breakWith(f registry.Fault) {
	s.t.Helper()
	if a := s.call("PUT", "/faults", f); a.status != http.StatusOK {
		s.t.Fatalf("PUT /faults: %d %s", a.status, a.raw)
	}
}

func (s *server) mend() {
	s.t.Helper()
	if a := s.call("DELETE", "/faults", nil); a.status != http.StatusOK {
		s.t.Fatalf("DELETE /faults: %d %s", a.status, a.raw)
	}
}

// With all schemas registered, a read-only registry is sufficient. If one is missing, the codec
// waits, and continues when the registry accepts writes again.
func TestACodecOfARegistryThatTakesNoWrites(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]registry.Fault{
		"read-only": {ReadOnly: true},
		"forbidden": {NoPosts: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, t.TempDir())
			all, missing := events.Catalogue(), events.TypeOf[events.OrderPlaced]()
			var others []event.Type
			for _, typ := range all.Types() {
				if typ.Name != missing.Name {
					others = append(others, typ)
				}
			}
			first := schema.NewCodec(schema.NewClient(s.url), events.Catalogue())
			if err := first.Register(t.Context(), others...); err != nil {
				t.Fatal(err)
			}
			want, err := first.Encode(t.Context(), events.OrderDelivered{OrderID: "o", OccurredAt: time.UnixMicro(1)})
			if err != nil {
				t.Fatal(err)
			}
			s.breakWith(fault)
			c := schema.New(schema.Config{Client: schema.NewClient(s.url), Types: events.Catalogue(), WaitFor: others})
			if err := c.Register(t.Context(), others...); err != nil {
				t.Fatalf("all schemas are there: %v", err)
			}
			if err := c.Ready(); err != nil {
				t.Errorf("not ready: %v", err)
			}
			got, err := c.Encode(t.Context(), events.OrderDelivered{OrderID: "o", OccurredAt: time.UnixMicro(1)})
			if err != nil || string(got) != string(want) {
				t.Errorf("Encode = %x, %v; want %x", got, err, want)
			}
			if err := c.Register(t.Context(), missing); errs.KindOf(err) != errs.Transient || !strings.Contains(err.Error(), missing.Subject) {
				t.Errorf("Register of a missing schema = %v of kind %v", err, errs.KindOf(err))
			}
			if err := c.Ready(); err == nil || !strings.Contains(err.Error(), missing.Subject) {
				t.Errorf("Ready = %v with a schema missing", err)
			}
			s.mend()
			if err := c.Register(t.Context(), missing); err != nil {
				t.Errorf("after the registry took writes again: %v", err)
			}
		})
	}
}

func TestARegistryThatDeniesOrHangs(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	client := schema.NewClient(s.url, schema.WithTimeout(100*time.Millisecond))
	id, err := schema.NewClient(s.url).Register(t.Context(), "s", base)
	if err != nil {
		t.Fatal(err)
	}
	s.breakWith(registry.Fault{Denies: true})
	if _, err := client.Schema(t.Context(), id); errs.KindOf(err) != errs.NotFound {
		t.Errorf("denied: %v", err)
	}
	s.breakWith(registry.Fault{Hangs: true})
	if _, err := client.Schema(t.Context(), id); errs.KindOf(err) != errs.Transient {
		t.Errorf("without an answer: %v", err)
	}
	if a := s.call("GET", "/readyz", nil); a.status != http.StatusOK {
		t.Errorf("GET /readyz: %d", a.status)
	}
	s.mend()
	if _, err := schema.NewClient(s.url).Schema(t.Context(), id); err != nil {
		t.Errorf("mended: %v", err)
	}
}
