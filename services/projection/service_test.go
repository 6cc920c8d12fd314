package projection

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/participant"
	"eventshop.example/pkg/postgres"
	"eventshop.example/services/projection/internal/app"
)

// TestSubscribesToEveryEvent: the timeline has to show a new event type. The topics *.events have all facts.
// Those of commands, notifications and snapshots add nothing to them.
func TestSubscribesToEveryEvent(t *testing.T) {
	subscribed := map[string]int{}
	for _, s := range subscriptions(app.New(nil)) {
		subscribed[s.Type.Name]++
	}
	for _, typ := range events.Catalogue().Types() {
		want := 0
		if strings.HasSuffix(typ.Topic, ".events") {
			want = 1
		}
		if subscribed[typ.Name] != want {
			t.Errorf("%s is subscribed to %d times, want %d", typ.Name, subscribed[typ.Name], want)
		}
	}
}

func TestConfigFromEnv(t *testing.T) {
	env := map[string]string{
		"ADDR": "127.0.0.1:0", "DATABASE_URL": "postgres://db", "KAFKA_BROKERS": "a:1,b:2", "SCHEMA_REGISTRY_URL": "http://registry",
	}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	got, err := participant.FromEnv[Config](lookup)
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Config: participant.Config{
			Addr:        "127.0.0.1:0",
			Retry:       consumer.Retry{Attempts: 6, Backoff: consumer.Backoff{Base: 100 * time.Millisecond, Max: 30 * time.Second}},
			SchemaGrace: 30 * time.Second,
			Keep:        postgres.Retention{Outbox: 168 * time.Hour, Inbox: 744 * time.Hour},
			DatabaseURL: "postgres://db", Brokers: []string{"a:1", "b:2"},
			RegistryURL: "http://registry",
		},
		ReadWait: 2 * time.Second, ReadsWaiting: 1000, FillSet: 5000,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
	env["READ_WAIT"] = "6s"
	if _, err = participant.FromEnv[Config](lookup); err == nil || !strings.Contains(err.Error(), "READ_WAIT") {
		t.Errorf("a wait that is too long: %v", err)
	}
	names := []string{"ADDR", "DATABASE_URL", "KAFKA_BROKERS", "SCHEMA_REGISTRY_URL"}
	clear(env)
	_, err = participant.FromEnv[Config](lookup)
	for _, name := range names {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("nothing is set, and %s is not named: %v", name, err)
		}
	}
}
