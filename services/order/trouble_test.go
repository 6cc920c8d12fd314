package order_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/participant"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/schema/schematest"
	"eventshop.example/services/order"
)

// TestWhatAnAdministratorTakesAway: logins, grants, tables and the database itself disappear under
// the running service and return. The service keeps running, reports at /readyz what it lacks,
// answers 503 with Retry-After, and recovers without a restart. Every order that was answered with
// 201 is published.
func TestWhatAnAdministratorTakesAway(t *testing.T) {
	t.Parallel()
	brokers := kafkatest.Start(t, events.Topics()...)
	db := pgtest.NewSeparate(t, order.Components()...)
	db.Migrate(t)
	url, stop := run(t, order.Config{
		Config: participant.Config{
			DatabaseURL: db.AppURL, Migrations: postgres.MigrationsWait, Brokers: brokers,
			RegistryURL: schematest.Start(t).URL,
		},
		SagaDeadline: time.Minute, SnapshotEvery: 10,
	})
	isReady := func() bool { status, _ := get(url + "/readyz"); return status == http.StatusOK }
	kafkatest.Eventually(t, "service ready", isReady)
	place(t, url, cart)
	placed := 1

	admin, err := postgres.Open(t.Context(), postgres.Config{URL: maintenance(t), MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
	owner, err := postgres.Open(t.Context(), postgres.Config{URL: db.MigratorURL, MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(owner.Close)
	database := owner.Config().ConnConfig.Database
	asOwner := func(sql string) {
		t.Helper()
		if _, err := owner.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	asAdmin := func(sql string) {
		t.Helper()
		if strings.Contains(sql, "RENAME") {
			owner.Reset()
		}
		end := fmt.Sprintf(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename IN ('%s')`, db.Roles.App)
		for _, s := range []string{end, fmt.Sprintf(sql, database, db.Roles.App), end} {
			if _, err := admin.Exec(t.Context(), s); err != nil {
				t.Fatalf("%s: %v", s, err)
			}
		}
	}
	for _, tc := range []struct {
		name, state string
		do          func(string)
		away, back  string
	}{
		{"the login", "28000", asAdmin, `ALTER ROLE %[2]s NOLOGIN`, `ALTER ROLE %[2]s LOGIN`},
		{"every connection", "53300", asAdmin, `ALTER ROLE %[2]s CONNECTION LIMIT 0`, `ALTER ROLE %[2]s CONNECTION LIMIT -1`},
		{"the writes", "25006", asAdmin, `ALTER DATABASE %[1]s SET default_transaction_read_only = on`, `ALTER DATABASE %[1]s RESET default_transaction_read_only`},
		{"the outbox", "42P01", asOwner, `ALTER TABLE outbox RENAME TO outbox_away`, `ALTER TABLE outbox_away RENAME TO outbox`},
		{"a column", "42703", asOwner, `ALTER TABLE events RENAME COLUMN data TO data_away`, `ALTER TABLE events RENAME COLUMN data_away TO data`},
		{"a grant", "42501", asOwner, `REVOKE INSERT ON events FROM ` + db.Roles.App, `GRANT INSERT ON events TO ` + db.Roles.App},
	} {
		tc.do(tc.away)
		kafkatest.Eventually(t, "503 and "+tc.state+" without "+tc.name, func() bool {
			res, err := http.Post(url+"/orders", "application/json", strings.NewReader(cart))
			if err != nil {
				t.Fatalf("without %s: no answer: %v", tc.name, err)
			}
			defer res.Body.Close()
			body, _ := io.ReadAll(res.Body)
			switch {
			case res.StatusCode == http.StatusCreated:
				placed++ // over a connection that has not been refused yet
				return false
			case res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "":
				t.Fatalf("without %s: %d %s", tc.name, res.StatusCode, body)
			}
			_, metrics := get(url + "/metrics")
			return strings.Contains(metrics, `eventshop_database_refusals_total{blames="environment",reason="`+tc.state+`"}`)
		})
		kafkatest.Eventually(t, "not ready without "+tc.name, func() bool { return !isReady() })
		if status, body := get(url + "/orders/" + uuid.NewString()); status != http.StatusServiceUnavailable && status != http.StatusNotFound {
			t.Errorf("without %s GET answers %d %s", tc.name, status, body)
		}
		tc.do(tc.back)
		kafkatest.Eventually(t, "ready again with "+tc.name, isReady)
		place(t, url, cart)
		placed++
	}
	kafkatest.Eventually(t, "all orders published", func() bool {
		return len(published(t, brokers, events.TopicOrderEvents)) >= placed
	})
	stop()
}

// maintenance returns the URL of the database for administrators.
func maintenance(t *testing.T) string {
	t.Helper()
	u, err := url.Parse(pgtest.NewURL(t))
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/postgres"
	return u.String()
}
