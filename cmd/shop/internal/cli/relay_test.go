package cli_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"eventshop.example/ops/eventshop"
)

// relays serves the operators' listeners of two services and Kafka Connect.
func relays(t *testing.T) (flags []string) {
	t.Helper()
	mux := http.NewServeMux()
	answer := func(path, body string) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) })
	}
	answer("/order/outbox/relay", `{"mode":"debezium","slot":"eventshop_order","since":"2026-01-02T03:04:05Z","by":"ada","newest":0,"waiting":0,
		"slotState":{"active":true,"lagBytes":2500000,"retainedBytes":3000000,"walStatus":"reserved","safeBytes":1000000000}}`)
	answer("/payment/outbox/relay", `{"mode":"polling","since":"2026-01-02T03:04:05Z","by":"","newest":0,"waiting":0}`)
	answer("/shipping/outbox/relay", `{"mode":"debezium","slot":"eventshop_shipping","lost":"the slot eventshop_shipping does not exist any more","since":"2026-01-02T03:04:05Z","by":"ada","newest":7,"waiting":0}`)
	answer("/connectors/outbox-order/status", `{"connector":{"state":"RUNNING"},"tasks":[{"id":0,"state":"RUNNING"}]}`)
	answer("/connectors/outbox-shipping/status", `{"connector":{"state":"RUNNING"},"tasks":[{"id":0,"state":"FAILED","trace":"a.b.Exception: outer\nCaused by: c.d.Exception: no such slot\n"}]}`)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return []string{"--connect", server.URL, "--operators", server.URL + "/{service}", "--brokers", "127.0.0.1:1",
		"--database", "postgres://{service}_cdc@127.0.0.1:1/{service}"}
}

func TestRelayShow(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	flags := relays(t)
	out, err := s.run(append([]string{"relay", "show", "--services", "order,payment"}, flags...)...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, line := range []string{
		"order    debezium eventshop_order yes 2.5 MB 3.0 MB 1000.0 MB running",
		"payment polling - - - - - -",
	} {
		if want := strings.Join(strings.Fields(line), " "); !strings.Contains(strings.Join(strings.Fields(out), " "), want) {
			t.Errorf("got\n%s\nwant a line %q", out, line)
		}
	}
	// Errors are printed and set the exit code.
	out, err = s.run(append([]string{"relay", "show", "--services", "order,shipping,inventory", "--json"}, flags...)...)
	for _, want := range []string{"shipping: the slot eventshop_shipping does not exist any more; `shop relay recover` has everything sent", "shipping: c.d.Exception: no such slot", "inventory: the service answers 404"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q in it\n%s", err, want, out)
		}
	}
	if !strings.Contains(out, `"service": "order"`) || !strings.Contains(out, `"lagBytes": 2500000`) {
		t.Errorf("as JSON: %s", out)
	}
}

func TestRelayShowOfAShopWithoutConnect(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	mode := "polling"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"mode":%q,"since":"2026-01-02T03:04:05Z","by":"","newest":0,"waiting":0}`, mode)
	}))
	t.Cleanup(server.Close)
	urls := map[string]string{}
	for _, name := range eventshop.Publishers() {
		urls[name] = server.URL
	}
	s.operators(urls)
	rows := words(s.must("relay", "show"))
	if len(rows) != 1+len(urls) || rows[1][0] != "order" || rows[1][1] != "polling" {
		t.Errorf("%v", rows)
	}
	if rows := words(s.must("relay", "show", "payment")); len(rows) != 2 || rows[1][0] != "payment" {
		t.Errorf("%v", rows)
	}
	mode = "debezium"
	s.fails([]string{"relay", "show", "order"}, "order: Debezium relays", "--connect")
}

func TestRelayFlags(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	all := relays(t)
	with := func(more ...string) []string { return append(append([]string{}, all...), more...) }
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"neither mode":             {append([]string{"relay", "use", "pulling"}, all...), `"pulling" is neither debezium nor polling`},
		"Debezium without Connect": {append([]string{"relay", "use", "debezium", "--without-connect"}, all...), "is for polling"},
		"no such service":          {append([]string{"relay", "use", "polling", "projection"}, all...), `no service "projection"`},
		"a password in sight":      {append([]string{"relay", "show"}, with("--database", "postgres://{service}:secret@127.0.0.1/x")...), "--password-file"},
		"no database":              {append([]string{"relay", "show"}, with("--database", "")...), "--connect needs --database"},
		"no such password file":    {append([]string{"relay", "show"}, with("--password-file", filepath.Join(t.TempDir(), "{service}"))...), "--password-file"},
		"a shop without Connect":   {[]string{"relay", "use", "debezium"}, "shop up --cdc"},
	} {
		if out, err := s.run(c.args...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it\n%s", name, err, c.want, out)
		}
	}
}
