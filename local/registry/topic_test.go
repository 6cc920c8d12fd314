package registry_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/local/registry"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/kafkatest"
)

func openTopic(t *testing.T, brokers []string) *server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), kafkatest.Patience)
	defer cancel()
	r, err := registry.OpenTopic(ctx, registry.Topic{Brokers: brokers, Name: "_schemas"})
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, r)
}

func TestATopicKeepsEverythingAcknowledged(t *testing.T) {
	t.Parallel()
	brokers := kafkatest.Start(t)
	s := openTopic(t, brokers)
	s.setLevel("", "FULL")
	s.setLevel("s", "NONE")
	first := s.mustRegister("s", base)
	second := s.mustRegister("s", retyped)
	s.mustRegister("shared", base)
	for range 2 { // reading writes nothing
		s.stop()
		s = openTopic(t, brokers)
		if a := s.call("GET", "/subjects/s/versions/latest", nil); a.body["id"] != float64(second) || a.body["version"] != 2.0 {
			t.Error(a.raw)
		}
		if a := s.call("GET", "/subjects/shared/versions/1", nil); a.body["id"] != float64(first) || a.body["schema"] != base {
			t.Error(a.raw)
		}
		if a := s.call("GET", "/config", nil); a.body["compatibilityLevel"] != "FULL" {
			t.Error(a.raw)
		}
		if a := s.call("GET", "/config/s", nil); a.body["compatibilityLevel"] != "NONE" {
			t.Error(a.raw)
		}
		if again := s.mustRegister("s", base); again != first {
			t.Errorf("the same schema has id %d now, was %d", again, first)
		}
	}
	if next := s.mustRegister("t", nullable); next != second+1 {
		t.Errorf("the next id is %d, want %d", next, second+1)
	}
}

// Of two registries on one topic, the overtaken one fails. All readers of the topic get the same
// state: no id has two schemas, no version exists twice.
func TestOfTwoRegistriesOnATopicTheOvertakenFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		subject, schema string // of the second registry
		want            string // the subjects afterwards
	}{
		"same id":                {"t", retyped, `["s"]`},
		"same version":           {"s", retyped, `["s"]`},
		"the same":               {"s", base, `["s"]`},
		"same schema, elsewhere": {"t", base, `["s"]`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			brokers := kafkatest.Start(t)
			first, second := openTopic(t, brokers), openTopic(t, brokers)
			id := first.mustRegister("s", base)
			path := "/subjects/" + c.subject + "/versions"
			for range 2 { // permanently
				if a := second.call("POST", path, map[string]string{"schema": c.schema}); a.status != http.StatusInternalServerError {
					t.Fatalf("it was answered: %d %s", a.status, a.raw)
				}
			}
			third := openTopic(t, brokers)
			if a := third.call("GET", "/subjects", nil); a.raw != c.want {
				t.Errorf("subjects %s, want %s", a.raw, c.want)
			}
			if a := third.call("GET", "/subjects/s/versions", nil); a.raw != "[1]" {
				t.Errorf("versions of s: %s", a.raw)
			}
			if a := third.call("GET", "/subjects/s/versions/1", nil); a.body["id"] != float64(id) || a.body["schema"] != base {
				t.Error(a.raw)
			}
			third.mustRegister(c.subject, base) // it continues after the overtaken entries
			third.stop()
			if a := openTopic(t, brokers).call("GET", "/subjects/"+c.subject+"/versions/1", nil); a.body["schema"] != base {
				t.Error(a.raw)
			}
		})
	}
}

func TestRunEndsWhenItsTopicWasOvertaken(t *testing.T) {
	t.Parallel()
	brokers := kafkatest.Start(t)
	l := listen(t)
	addr := l.Addr().String()
	l.Close()
	ended := make(chan error, 1)
	go func() {
		ended <- registry.Run(t.Context(), registry.Config{Addr: addr, Topic: registry.Topic{Brokers: brokers, Name: "_schemas"}})
	}()
	awaitReady(t, addr, ended)
	openTopic(t, brokers).mustRegister("s", base)
	s := &server{t: t, url: "http://" + addr}
	s.call("POST", "/subjects/t/versions", map[string]string{"schema": base})
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(err.Error(), "another registry writes to topic _schemas") {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(kafkatest.Patience):
		t.Fatal("it goes on")
	}
}

func TestATopicOfAnotherKindStopsTheStart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		partitions int32
		value      string
		want       string
	}{
		"no JSON":            {1, "rubbish", "offset 1"},
		"another registry's": {1, `{"subject":"s","version":1,"id":1,"schema":"\"string\"","deleted":false}`, "offset 1"},
		"an unknown kind":    {1, `{"kind":"mode","subject":"s"}`, "offset 1"},
		"two partitions":     {2, "", "2 partitions"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			brokers := kafkatest.Start(t, event.Topic{Name: "_schemas", Partitions: c.partitions})
			client := kafkatest.NewClient(t, brokers, kgo.DefaultProduceTopic("_schemas"))
			if c.value != "" {
				s := openTopic(t, brokers)
				s.mustRegister("s", base)
				s.stop()
				if err := client.ProduceSync(t.Context(), kgo.StringRecord(c.value)).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
			_, err := registry.OpenTopic(t.Context(), registry.Topic{Brokers: brokers, Name: "_schemas"})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "_schemas") {
				t.Errorf("got %v, want topic and %s", err, c.want)
			}
		})
	}
}
