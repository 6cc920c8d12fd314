package operator_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/operator"
	"eventshop.example/pkg/outbox/admin"
)

func (f *fixture) config() operator.Config {
	return operator.Config{
		Store: f.store, Pool: f.pool, Outbox: admin.Admin{Pool: f.pool, Wake: f.outbox.Wake}, Codec: f.codec, Prepared: func() bool { return true },
		Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	}
}

// run returns a function that stops the component and returns its result.
func run(t *testing.T, component func(context.Context) error) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	ended := make(chan error, 1)
	go func() { ended <- component(ctx) }()
	return func() error { cancel(); return <-ended }
}

func TestServe(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	if _, err := operator.Serve(addr, f.config()); err == nil || !strings.Contains(err.Error(), addr) {
		t.Errorf("a taken port: %v", err)
	}
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	component, err := operator.Serve(addr, f.config())
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, component.Run)
	kafkatest.Eventually(t, "an answer", func() bool {
		res, err := http.Get("http://" + addr + "/dead-letters/stats")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		return err == nil && res.StatusCode == http.StatusOK && strings.Contains(string(text), `"group":"doors"`)
	})
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestServeNobody(t *testing.T) {
	t.Parallel()
	component, err := operator.Serve("", operator.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := run(t, component.Run)(); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestEveryOperationIsAnswered: the server has each operation of the document, under the method and
// path that the document says.
func TestEveryOperationIsAnswered(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	operations := 0
	for path, item := range f.spec.Paths.Map() {
		for method := range item.Operations() {
			operations++
			a := f.do(method, strings.ReplaceAll(path, "{id}", uuid.NewString()), "")
			missing := a.Status == http.StatusNotFound && !strings.Contains(a.Text, "no dead letter") && !strings.Contains(a.Text, "has no projections")
			if missing || a.Status == http.StatusMethodNotAllowed || a.Status == http.StatusNotImplemented {
				t.Errorf("%s %s: %d %s", method, path, a.Status, a.Text)
			}
		}
	}
	if operations < 16 {
		t.Errorf("the document has %d operations", operations)
	}
}
