package order_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafka"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/participant"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
	"eventshop.example/services/order"
)

// TestWrongPassword: a broker that refuses the password makes the service unready, with the
// broker's reason, and does not end it. Orders are accepted. Once the file holds the right
// password, the service recovers without a restart: it publishes the waiting events and consumes.
func TestWrongPassword(t *testing.T) {
	t.Parallel()
	ca := kafkatest.NewAuthority(t)
	brokers := kafkatest.StartSecured(t, kafka.Plain, "right", ca.Server(t), events.Topics()...)
	registry := schematest.Start(t).URL
	passwordFile := filepath.Join(t.TempDir(), "password")
	put := func(password string) {
		t.Helper()
		if err := os.WriteFile(passwordFile, []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("hunter2")
	security := kafka.Security{TLS: true, CAFile: ca.CAFile, Mechanism: kafka.Plain, Username: kafkatest.User, PasswordFile: passwordFile}
	url, stop := run(t, order.Config{
		Config: participant.Config{
			DatabaseURL: pgtest.NewURL(t), Brokers: brokers, RegistryURL: registry,
			Kafka: security,
		},
		SagaDeadline: time.Minute, SnapshotEvery: 10,
	})
	checks := func() map[string]string {
		_, body := get(url + "/readyz")
		var report struct{ Checks map[string]string }
		if err := json.Unmarshal([]byte(body), &report); err != nil {
			t.Fatalf("readyz: %v: %s", err, body)
		}
		return report.Checks
	}
	kafkatest.Eventually(t, "the consumer's reason", func() bool { return strings.Contains(checks()["consumer"], kafkatest.Refusal) })
	kafkatest.Eventually(t, "schemas", func() bool { return checks()["schemas"] == "ok" })
	id := place(t, url, cart)
	kafkatest.Eventually(t, "the relay's reason", func() bool { return strings.Contains(checks()["relay"], kafkatest.Refusal) })
	for name, reason := range checks() {
		if strings.Contains(reason, "hunter2") {
			t.Errorf("check %s tells the password: %s", name, reason)
		}
	}

	put("right")
	mended := time.Now()
	kafkatest.Eventually(t, "service ready", func() bool { status, _ := get(url + "/readyz"); return status == http.StatusOK })
	t.Logf("ready %s after the password was mended", time.Since(mended).Round(time.Millisecond))
	opts, err := security.Options()
	if err != nil {
		t.Fatal(err)
	}
	client := kafkatest.NewClient(t, brokers, append(opts, kgo.ConsumeTopics(events.TopicOrderEvents))...)
	first := client.PollFetches(t.Context()).Records()
	if len(first) == 0 || kafkatest.Envelope(t, first[0]).Type != "OrderCreated" {
		t.Fatalf("published: %v", first)
	}
	codec := schema.NewCodec(schema.NewClient(registry), events.Catalogue())
	record := kafkatest.Record(t, codec, events.ShipmentScheduled{OrderID: id, ShipmentID: "s1", TrackingID: "T1", Carrier: "c", OccurredAt: time.Now()})
	if err := client.ProduceSync(t.Context(), record).FirstErr(); err != nil {
		t.Fatal(err)
	}
	kafkatest.Eventually(t, "order CONFIRMED", func() bool {
		_, body := get(url + "/orders/" + id)
		return strings.Contains(body, `"status":"CONFIRMED"`)
	})
	stop()
}
