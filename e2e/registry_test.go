package e2e

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"eventshop.example/local/registry"
	"eventshop.example/pkg/schema"
)

// given is an external schema registry: it admits one user and can be unavailable.
type given struct {
	*httptest.Server
	away atomic.Bool
}

func startRegistry(t *testing.T, r *registry.Registry) *given {
	t.Helper()
	g := &given{}
	api := r.Handler()
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		user, password, _ := req.BasicAuth()
		switch {
		case g.away.Load():
			w.WriteHeader(http.StatusServiceUnavailable)
		case user != "ada" || password != "e2e-secret":
			w.WriteHeader(http.StatusUnauthorized)
		default:
			api.ServeHTTP(w, req)
		}
	}))
	t.Cleanup(g.Close)
	return g
}

// admitted returns the URL with the user that the registry admits.
func (g *given) admitted() string {
	return strings.Replace(g.URL, "//", "//ada:e2e-secret@", 1)
}

// TestARegistryOfOnesOwn checks that services and tools use the same external registry, whose ids
// differ from those of the embedded one. A record that cannot be decoded, because the registry is
// away or another one is asked, is no breach.
func TestARegistryOfOnesOwn(t *testing.T) {
	if kind, err := kindOfStack(); kind != "embedded" || err != nil {
		t.Skip("the registry does not depend on the broker, and containers have their own")
	}
	t.Parallel() // with other tests that have their own stack and mostly wait
	schemas, err := registry.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = schemas.Close() })
	own := startRegistry(t, schemas)
	const record = `{"type":"record","name":"Another","fields":[]}` // takes the first id
	client := schema.NewClient(own.URL, schema.WithTransport(admitting{}))
	if _, err := client.Register(t.Context(), "another", record); err != nil {
		t.Fatal(err)
	}
	alias := startRegistry(t, schemas) // the same registry, at payment's address

	s := &stack{shop: common.shop, dir: filepath.Join(t.TempDir(), "state")}
	openTo(t, s.dir)
	t.Cleanup(s.gone)
	if err := s.up("--registry", own.admitted(), "--env", "payment.SCHEMA_REGISTRY_URL="+alias.URL); err != nil {
		t.Fatal(err)
	}
	s.receive(t, "OWN-1", 10)
	for range 3 {
		s.awaitStatus(t, s.place(t, "own", "OWN-1", 1), "DELIVERED")
	}
	s.verify(t)
	if out := s.must(t, "status"); !strings.Contains(out, "external") {
		t.Errorf("status:\n%s", out)
	}
	if out := s.must(t, "doctor"); !strings.Contains(out, own.URL) || !strings.Contains(out, alias.URL) {
		t.Errorf("doctor:\n%s", out)
	}
	if err := s.readState(); err != nil || s.URL["registry"] != own.URL {
		t.Errorf("state.json names %q, %v", s.URL["registry"], err)
	}

	empty, err := registry.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = empty.Close() })
	for name, c := range map[string]struct {
		spoil func()
		args  []string
		says  []string
	}{
		"away": {func() { own.away.Store(true); alias.away.Store(true) }, nil,
			[]string{"inventory, order, shipping, with the schema registry at " + own.URL, "of payment, with the schema registry at " + alias.URL, "does not answer"}},
		"payment's away": {func() { alias.away.Store(true) }, nil, []string{"of payment, with the schema registry at " + alias.URL}},
		"another one is asked": {func() {}, []string{"--registry", startRegistry(t, empty).admitted()},
			[]string{"OrderCreated with schema id", "not found", "shop verify --registry URL"}},
	} {
		c.spoil()
		out, err := s.command(append([]string{"verify"}, c.args...)...)
		own.away.Store(false)
		alias.away.Store(false)
		if err == nil || strings.Contains(out, "BREACH") || strings.Contains(out, "are broken") || strings.Contains(out, "e2e-secret") || !strings.Contains(out, "I4, I6, I7, I10, I12 are not checked") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		for _, want := range c.says {
			if !strings.Contains(strings.Join(strings.Fields(out), " "), want) { // regardless of line breaks
				t.Errorf("%s: not said: %s\n%s", name, want, out)
			}
		}
	}
	s.verify(t)
	if out, err := s.command("up", "--detach", "--registry", "embedded"); err == nil || !strings.Contains(out, own.URL) || strings.Contains(out, "e2e-secret") {
		t.Errorf("another registry: %v\n%s", err, out)
	}
}

// admitting adds the credentials that startRegistry accepts.
type admitting struct{}

func (admitting) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.SetBasicAuth("ada", "e2e-secret")
	return http.DefaultTransport.RoundTrip(req)
}
