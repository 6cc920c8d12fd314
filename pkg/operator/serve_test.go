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

	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/operator"
)

func (b *bench) config() operator.Config {
	return operator.Config{
		Store: b.store, Pool: b.pool, Outbox: b.outbox, Codec: b.codec, Prepared: func() bool { return true },
		Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	}
}

// run gives how a component ended after its context did.
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
	b := newBench(t)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	if _, err := operator.Serve(addr, b.config()); err == nil || !strings.Contains(err.Error(), addr) {
		t.Errorf("a taken port: %v", err)
	}
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	component, err := operator.Serve(addr, b.config())
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
		return err == nil && res.StatusCode == http.StatusOK && strings.Contains(string(text), `"group":"payment"`)
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
