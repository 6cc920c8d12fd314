package participant_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/participant"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/service"
)

// names returns the variables of settings.
func names(settings []service.Setting) []string {
	var all []string
	for _, s := range settings {
		all = append(all, s.Name)
	}
	return all
}

func TestFromEnv(t *testing.T) {
	t.Parallel()
	env := map[string]string{"ADDR": ":1", "DATABASE_URL": "u", "KAFKA_BROKERS": "a:1, b:2", "SCHEMA_REGISTRY_URL": "r", "PRINTER_BREAKER_WINDOW": "2m"}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	got, err := participant.FromEnv[Config](lookup)
	want := Config{
		Config: participant.Config{
			Addr: ":1", DatabaseURL: "u", Brokers: []string{"a:1", "b:2"}, RegistryURL: "r", SchemaGrace: 30 * time.Second,
			Retry: consumer.Retry{Attempts: 6, Backoff: consumer.Backoff{Base: 100 * time.Millisecond, Max: 30 * time.Second}},
			Keep:  postgres.Retention{Outbox: 168 * time.Hour, Inbox: 744 * time.Hour},
		},
		LoanFor: 28 * 24 * time.Hour,
		Breaker: participant.Breaker{Failures: 5, Window: 2 * time.Minute, OpenFor: 30 * time.Second},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
	clear(env)
	for _, name := range []string{"LOAN_FOR", "RETRY_ATTEMPTS", "OUTBOX_KEEP", "PRINTER_BREAKER_OPEN_FOR", "KAFKA_TLS"} {
		env[name] = "wrong"
	}
	env["INBOX_KEEP"], env["MIGRATIONS"], env["KAFKA_SASL_USERNAME"], env["SCHEMA_REGISTRY_USERNAME"] = "23h", "never", "u", "u"
	_, err = participant.FromEnv[Config](lookup)
	for _, name := range []string{
		"ADDR", "DATABASE_URL", "KAFKA_BROKERS", "SCHEMA_REGISTRY_URL", "LOAN_FOR", "RETRY_ATTEMPTS", "OUTBOX_KEEP", "INBOX_KEEP",
		"PRINTER_BREAKER_OPEN_FOR", "KAFKA_TLS", "MIGRATIONS", "KAFKA_SASL_MECHANISM", "SCHEMA_REGISTRY_PASSWORD_FILE",
	} {
		if err == nil || !strings.Contains(err.Error(), "environment variable "+name+" ") {
			t.Errorf("%v does not name %s", err, name)
		}
	}
}

// TestSettingsAreWhatIsRead: a service reads every variable that it declares and no other. The list
// of its program adds the log level and the variables that the job `migrate` reads.
func TestSettingsAreWhatIsRead(t *testing.T) {
	t.Parallel()
	var read []string
	_, err := participant.FromEnv[Config](func(name string) (string, bool) {
		read = append(read, name)
		return "", false
	})
	if err == nil {
		t.Error("nothing is set, and that is no error")
	}
	slices.Sort(read)
	read = slices.Compact(read)
	declared := names(new(Config).Settings())
	if diff := cmp.Diff(slices.Sorted(slices.Values(declared)), read); diff != "" {
		t.Errorf("(-declared +read)\n%s", diff)
	}
	listed := append(declared, "LOG_LEVEL", "MIGRATE_OWNER_ROLE", "MIGRATE_APP_ROLE", "MIGRATE_CDC_ROLE")
	if diff := cmp.Diff(listed, names(participant.Settings[Config]())); diff != "" {
		t.Errorf("(-want +listed)\n%s", diff)
	}
}
