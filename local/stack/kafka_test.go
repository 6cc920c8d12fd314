package stack

import (
	"io"
	"slices"
	"strings"
	"testing"

	"eventshop.example/pkg/kafka"
)

func TestParseKafkaSource(t *testing.T) {
	t.Parallel()
	for text, addresses := range map[string][]string{
		"embedded": nil, "apache": nil,
		"kafka:9092":                  {"kafka:9092"},
		"10.0.0.1:9092,10.0.0.2:9092": {"10.0.0.1:9092", "10.0.0.2:9092"},
		"[::1]:9092":                  {"[::1]:9092"},
	} {
		if k, err := ParseKafkaSource(text); err != nil || !slices.Equal(k.Addresses(), addresses) {
			t.Errorf("%q: %v at %v, %v", text, k, k.Addresses(), err)
		}
	}
	for _, text := range []string{"Apache", "kafka", "kafka:", ":9092", "a:1,", "a:1 b:2,c"} {
		if k, err := ParseKafkaSource(text); err == nil {
			t.Errorf("%q is %q", text, k)
		}
	}
}

// TestAStackStaysWithItsBroker: another broker has none of the events that the outboxes count as
// published.
func TestAStackStaysWithItsBroker(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		had, chosen, want KafkaSource
		fresh             bool
		refused           bool
	}{
		{fresh: true, chosen: Apache, want: Apache},
		{fresh: true, chosen: "", want: ""},
		{had: Apache, chosen: "", want: Apache},
		{had: Apache, chosen: Apache, want: Apache},
		{had: "", chosen: Embedded, want: Embedded},
		{had: "", chosen: Apache, refused: true},
		{had: Apache, chosen: Embedded, refused: true},
		{had: "a:1", chosen: "b:1", refused: true},
	} {
		s, err := Open(t.TempDir(), "", "", io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		s.file.KafkaSource = c.had
		if !c.fresh {
			s.file.Ports = DefaultPorts()
		}
		err = s.settleKafka(c.chosen, kafka.Security{})
		if (err != nil) != c.refused || err == nil && s.file.KafkaSource != c.want {
			t.Errorf("%q chosen with %q: %q, %v", c.chosen, c.had, s.file.KafkaSource, err)
		}
	}
}

func TestWhatWasGivenIsNotOursToStop(t *testing.T) {
	t.Parallel()
	s, err := Open(t.TempDir(), "", "", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	s.file.KafkaSource, s.file.Ports = "kafka:9092", DefaultPorts()
	if err := s.Kill(t.Context(), Broker); err == nil || !strings.Contains(err.Error(), "not this shop's") {
		t.Errorf("kill: %v", err)
	}
	if slices.Contains(s.expected(), Broker) {
		t.Error("a given broker is started")
	}
	s.listen(DefaultPorts())
	if !slices.Equal(s.file.Kafka, []string{"kafka:9092"}) {
		t.Errorf("services are told of %v", s.file.Kafka)
	}
}
