package stack

import (
	"slices"
	"strings"
	"testing"

	"eventshop.example/ops/eventshop"
	"eventshop.example/pkg/kafka"
)

func TestWhoMayHaveKafkaConnect(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file   File
		chosen bool
		want   string // in the error
	}{
		"embedded":                {chosen: true, want: "embedded broker"},
		"embedded, not asked":     {},
		"Apache Kafka":            {file: File{KafkaSource: Apache}, chosen: true},
		"a cluster":               {file: File{KafkaSource: "kafka:9092"}, chosen: true},
		"a secured cluster":       {file: File{KafkaSource: "kafka:9092", KafkaSecurity: kafka.Security{TLS: true}}, chosen: true, want: "secured"},
		"containers":              {file: File{Compose: true}, chosen: true},
		"as last time, not asked": {file: File{KafkaSource: Apache, Capture: true}},
	} {
		s := &Stack{file: c.file}
		err := s.settleCapture(c.chosen)
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q in it", name, err, c.want)
			}
			continue
		}
		if want := c.chosen || c.file.Capture; err != nil || s.file.Capture != want || slices.Contains(s.Processes(), Connect) != want {
			t.Errorf("%s: %v; Kafka Connect: %t, processes %v", name, err, s.file.Capture, s.Processes())
		}
	}
}

// The state file has everything that changing relays needs, whatever runs the processes.
func TestRelaysOfAStack(t *testing.T) {
	t.Parallel()
	file := File{
		Capture: true, Admin: "postgres://postgres:hunter2@127.0.0.1:15432/postgres?sslmode=disable", Replicas: map[string]int{"order": 2},
		Operators: map[string]string{"order": "http://127.0.0.1:1", "order-2": "http://127.0.0.1:2"},
		DSN:       map[string]string{},
	}
	for _, name := range eventshop.Services() {
		file.DSN[name] = "postgres://" + name + ":own@127.0.0.1:15432/" + name
	}
	s := &Stack{State: t.TempDir(), file: file}
	all, err := s.Relays()
	if want := len(eventshop.Publishers()); err != nil || len(all) != want {
		t.Fatalf("%d relays, want %d, %v", len(all), want, err)
	}
	order := all[0]
	if len(order.Operators) != 2 || order.Connector.Database != "order" || order.Connector.Port != 15432 || order.Connector.User != "postgres" {
		t.Errorf("%+v", order)
	}
	if strings.Contains(order.Connector.Password, "hunter2") || !strings.HasSuffix(order.Connector.Password, ":postgres}") {
		t.Errorf("the connector's password is %q, want a reference", order.Connector.Password)
	}
	s.file.Compose = true
	if all, err = s.Relays(); err != nil {
		t.Fatal(err)
	}
	if c := all[1].Connector; c.Host != "postgres-payment" || c.Port != 5432 || c.User != "payment_cdc" || c.Password != "${dir:/tmp/secrets:payment_cdc_password}" {
		t.Errorf("%+v", c)
	}
}
