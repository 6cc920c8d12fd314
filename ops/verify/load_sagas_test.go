package verify

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/postgres"
)

// TestSagasAreRead reads them from the orchestrator's own tables.
func TestSagasAreRead(t *testing.T) {
	t.Parallel()
	c := connect(t, postgres.Component{Name: coordinator, FS: os.DirFS("../../services/orchestrator/migrations")})
	event, command := uuid.NewString(), uuid.NewString()
	for _, sql := range []string{
		`INSERT INTO sagas (order_id, definition, state, version, attention, correlation_id, started_at, changed_at) VALUES
			('o-1', 2, 'CHARGING', 1, 'ChargePayment has no answer', '', now(), now()),
			('o-2', 1, 'CANCELLED', 0, '', '', now(), now()),
			('o-3', 1, '', 0, '', '', now(), now())`, // its OrderCreated was not handled
		`INSERT INTO saga_log (order_id, n, at, input, event_id, action, from_state, to_state, command, command_id, detail) VALUES
			('o-1', 2, now(), 'DuePassed', '', 'wait', 'CHARGING', 'CHARGING', '', '', ''),
			('o-1', 1, now(), 'OrderCreated', '` + event + `', 'apply', '', 'CHARGING', 'ChargePayment', '` + command + `', '')`,
	} {
		if _, err := c.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	conns := map[string]*pgx.Conn{coordinator: c}
	var f Facts
	if err := f.readSagas(t.Context(), conns); err != nil {
		t.Fatal(err)
	}
	want := []Saga{
		{OrderID: "o-1", State: "CHARGING", Attention: "ChargePayment has no answer", Definition: 2, Version: 1, Log: []SagaStep{
			{N: 1, Input: "OrderCreated", EventID: event, Action: "apply", To: "CHARGING", Command: "ChargePayment", CommandID: command},
			{N: 2, Input: "DuePassed", Action: "wait", From: "CHARGING", To: "CHARGING"},
		}},
		{OrderID: "o-2", State: "CANCELLED", Definition: 1},
	}
	if diff := cmp.Diff(want, f.Sagas); diff != "" {
		t.Errorf("sagas (-want +got):\n%s", diff)
	}
	if asking, err := sagasAsking(t.Context(), conns); err != nil || !cmp.Equal(asking, []string{"o-1"}) {
		t.Errorf("asking for attention: %v, %v", asking, err)
	}
}

// TestNoOrchestratorIsRead: a shop of the release before has no database of an orchestrator, and one
// whose orchestrator never started has no tables.
func TestNoOrchestratorIsRead(t *testing.T) {
	t.Parallel()
	for name, conns := range map[string]map[string]*pgx.Conn{
		"no database": {},
		"no tables":   {coordinator: connect(t)},
	} {
		var f Facts
		err := f.readSagas(t.Context(), conns)
		asking, err2 := sagasAsking(t.Context(), conns)
		if err != nil || err2 != nil || f.Sagas != nil || f.orchestrator || asking != nil {
			t.Errorf("%s: %v, %v, %v, %v", name, f.Sagas, asking, err, err2)
		}
	}
}
