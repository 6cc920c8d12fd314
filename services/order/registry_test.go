package order_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/participant"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/schema/schematest"
	"eventshop.example/services/order"
)

// TestRegistryTakesNoWrites: while a schema is missing in a registry that takes no writes or does
// not answer, orders are refused at once as a server error, without the text of the registry. They
// are accepted once it takes writes again.
func TestRegistryTakesNoWrites(t *testing.T) {
	t.Parallel()
	registry := schematest.Start(t)
	registry.Break(schematest.Fault{ReadOnly: true})
	url, _ := run(t, order.Config{
		Config: participant.Config{
			DatabaseURL: pgtest.NewURL(t), Brokers: kafkatest.Start(t, events.Topics()...),
			RegistryURL: registry.URL,
		},
		SagaDeadline: time.Minute, SnapshotEvery: 10,
	})
	place := func() (status int, body, retryAfter string, took time.Duration) {
		began := time.Now()
		res, err := http.Post(url+"/orders", "application/json", strings.NewReader(cart))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(b), res.Header.Get("Retry-After"), time.Since(began)
	}
	refused := func(says string) {
		t.Helper()
		kafkatest.Eventually(t, "the reason at /readyz", func() bool {
			status, body := get(url + "/readyz")
			return status == http.StatusServiceUnavailable && strings.Contains(body, `"database":"ok"`) && strings.Contains(body, says)
		})
		status, body, retryAfter, _ := place()
		if status != http.StatusServiceUnavailable || retryAfter == "" || strings.Contains(body, says) || strings.Contains(body, "schema") {
			t.Errorf("POST /orders: %d, Retry-After %q: %s", status, retryAfter, body)
		}
	}
	refused("read-only")
	registry.Break(schematest.Fault{Hangs: true})
	if _, _, _, took := place(); took > 10*time.Second {
		t.Errorf("POST /orders took %v while the registry hangs", took)
	}
	registry.Break(schematest.Fault{})
	kafkatest.Eventually(t, "an accepted order", func() bool {
		status, _, _, _ := place()
		return status == http.StatusCreated
	})
}
