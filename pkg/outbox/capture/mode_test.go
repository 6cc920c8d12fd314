package capture_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox/admin"
	"eventshop.example/pkg/outbox/capture"
	"eventshop.example/pkg/outbox/outboxtest"
)

func TestSetRelayModeRefuses(t *testing.T) {
	t.Parallel()
	f := outboxtest.NewLogical(t)
	operators := admin.Admin{Pool: f.Pool}
	conflict := func(err error, want string) {
		t.Helper()
		if errs.KindOf(err) != errs.Conflict || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want a conflict with %q", err, want)
		}
	}
	set := func(mode capture.Mode, slot string) error {
		return capture.SetMode(t.Context(), f.Pool, mode, slot, "test")
	}
	conflict(set(capture.Debezium, outboxtest.Slot), "does not exist")
	for _, slot := range []string{"", "x"} {
		if err := set("both", slot); errs.KindOf(err) != errs.Invalid {
			t.Errorf("mode both with slot %q: %v", slot, err)
		}
	}
	if err := set(capture.Debezium, ""); errs.KindOf(err) != errs.Invalid {
		t.Errorf("no slot: %v", err)
	}
	if err := operators.Hold(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	f.CreateSlot(t)
	conflict(set(capture.Debezium, outboxtest.Slot), "held")
	if err := operators.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.Append(t, "a")
	f.Again(t, `true`)
	conflict(set(capture.Debezium, outboxtest.Slot), "published again")
	f.Publish(t, "")
	for range 2 {
		if err := set(capture.Debezium, outboxtest.Slot); err != nil {
			t.Fatal(err)
		}
	}
	conflict(set(capture.Debezium, "another"), outboxtest.Slot)
	conflict(operators.Hold(t.Context(), "x"), "Debezium")
	_, err := operators.Republish(t.Context(), admin.Selection{})
	conflict(err, "Debezium")

	// A reader: another session that uses the slot.
	reader, err := pgx.Connect(t.Context(), f.URL+"&replication=database")
	if err != nil {
		t.Fatal(err)
	}
	read := `START_REPLICATION SLOT ` + outboxtest.Slot + ` LOGICAL 0/0 ("proto_version" '1', "publication_names" '` + f.Publication(t) + `')`
	reading, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	defer func() {
		stop()
		<-ended // the goroutine uses the connection until then
		reader.Close(context.WithoutCancel(t.Context()))
	}()
	go func() {
		defer close(ended)
		reader.PgConn().Exec(reading, read).ReadAll() //nolint:errcheck // it is cut off
	}()
	kafkatest.Eventually(t, "the slot to be read", func() bool {
		m, err := capture.ReadMode(t.Context(), f.Pool, 0)
		if err != nil {
			t.Fatal(err)
		}
		return m.State != nil && m.State.Active
	})
	conflict(set(capture.Polling, ""), "is being read")
}
