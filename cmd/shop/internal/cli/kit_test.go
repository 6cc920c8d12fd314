package cli_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"eventshop.example/cmd/shop/internal/cli"
	"eventshop.example/cmd/shop/internal/term"
	"eventshop.example/ops/operators/opstest"
)

// shop is a state folder whose operator listeners are servers of the test.
type shop struct {
	t        *testing.T
	state    string
	order    *opstest.Server
	payment  *opstest.Server
	services *opstest.Services
	sagas    *opstest.Orchestrator
	stdin    string
	progress string // the last command's standard error
}

// newShop returns a shop with the services order and payment.
func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{t: t, state: t.TempDir(), order: opstest.Start(t, "order"), payment: opstest.Start(t, "payment"), services: opstest.StartServices(t), sagas: opstest.StartOrchestrator(t)}
	s.operators(map[string]string{"order": s.order.URL, "payment": s.payment.URL})
	return s
}

func (s *shop) operators(urls map[string]string) {
	s.t.Helper()
	u := s.services.URL
	s.stateIs(map[string]any{
		"ports": map[string]int{}, "operators": urls,
		"urls": map[string]string{"order": u, "payment": u, "inventory": u, "shipping": u, "orchestrator": s.sagas.URL},
	})
}

// stateIs writes the shop's state file.
func (s *shop) stateIs(file map[string]any) {
	s.t.Helper()
	b, err := json.Marshal(file)
	if err == nil {
		err = os.WriteFile(filepath.Join(s.state, "state.json"), b, 0o600)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// paymentIsDown replaces payment's URL by one without a listener.
func (s *shop) paymentIsDown() {
	s.t.Helper()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	s.operators(map[string]string{"order": s.order.URL, "payment": server.URL})
}

// run runs a command.
func (s *shop) run(args ...string) (string, error) {
	s.t.Helper()
	var out, errOut bytes.Buffer
	root := cli.Root(term.New(&out, &errOut, func(string) string { return "" }))
	root.SetIn(strings.NewReader(s.stdin))
	root.SetArgs(append([]string{"--state", s.state}, args...))
	err := root.ExecuteContext(s.t.Context())
	s.progress = errOut.String()
	return out.String(), err
}

// must runs a command that has to succeed.
func (s *shop) must(args ...string) string {
	s.t.Helper()
	out, err := s.run(args...)
	if err != nil {
		s.t.Fatalf("shop %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// fails runs a command that has to fail with an error that contains all the parts.
func (s *shop) fails(args []string, parts ...string) string {
	s.t.Helper()
	out, err := s.run(args...)
	if err == nil {
		s.t.Fatalf("shop %s succeeds\n%s", strings.Join(args, " "), out)
	}
	s.has(err.Error(), parts...)
	return out
}

func (s *shop) has(text string, parts ...string) {
	s.t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			s.t.Errorf("%q is missing in:\n%s", p, text)
		}
	}
}

// words returns the fields of a table's lines, so that tests do not depend on widths.
func words(table string) [][]string {
	var out [][]string
	for l := range strings.Lines(table) {
		out = append(out, strings.Fields(l))
	}
	return out
}

func decode(t *testing.T, text string) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return v
}
