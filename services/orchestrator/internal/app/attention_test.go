package app_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/services/orchestrator/internal/app"
	"eventshop.example/services/orchestrator/internal/db"
	"eventshop.example/services/orchestrator/orchestrator"
)

// TestAnAnswerIsNoMissingOne: a participant that refuses a compensation, and payment when it gives a refund
// up, have answered. What the person has to do stays when the time limit passes after that.
func TestAnAnswerIsNoMissingOne(t *testing.T) {
	f := newFixture(t)
	for _, tt := range []struct{ until, answer, says string }{ // says: what is to be done
		{toReserving + " InventoryReservationFailed", "PaymentRefundFailed", "/refund-retry"},
		{toReserving + " InventoryReservationFailed", "RefundPayment: refused", "settle it with the participant by hand"},
		{toScheduling + " ShipmentFailed", "ReleaseInventory: refused", "settle it with the participant by hand"},
	} {
		id := newOrder()
		f.play(id, inputsOf(tt.until)...)
		f.take(id, orchestrator.Input(tt.answer))
		f.clock.Add(60)
		f.passDue(1)
		row, log := f.saga(id)
		if !strings.Contains(row.Attention, tt.says) || !strings.HasSuffix(row.Attention, "is still not done after 30s") || strings.Contains(row.Attention, "no answer") {
			t.Errorf("%s: attention %q", tt.answer, row.Attention)
		}
		f.check(id, log)
	}
}

// TestAttentionAddsUp: within a state, what is found later does not hide what a person has to look at
// already. The same is not said twice.
func TestAttentionAddsUp(t *testing.T) {
	f := newFixture(t)
	id := newOrder()
	wrong := created(id)
	wrong.SagaStyle = "choreographed"
	const contradiction, late = "an OrderCreated of this orchestrated order names the style", "ReserveInventory is still not done after 30s"
	f.play(id, inputsOf(toReserving)...)
	f.must(f.react(deliveryOf(app.OnOrderCreated, wrong)))
	f.clock.Add(60)
	f.passDue(1)
	f.must(f.react(deliveryOf(app.OnOrderCreated, wrong))) // under another id
	row, log := f.saga(id)
	for _, text := range []string{contradiction, late} {
		if strings.Count(row.Attention, text) != 1 {
			t.Errorf("attention %q, want %q once", row.Attention, text)
		}
	}
	last := log[len(log)-3:]
	if !strings.HasPrefix(last[0].Detail, contradiction) || !strings.HasPrefix(last[1].Detail, late) || !strings.HasPrefix(last[2].Detail, contradiction) {
		t.Errorf("log %+v", last)
	}
	f.must(f.acknowledge(id, "ada", "a bug in a script"))
	if row, _ := f.saga(id); strings.Contains(row.Attention, contradiction) || !strings.HasPrefix(row.Attention, "no answer to ReserveInventory within 30s") {
		t.Errorf("after the acknowledgement: %q", row.Attention)
	}
	f.take(id, orchestrator.InventoryReserved)
	if row, _ := f.saga(id); row.Attention != "" {
		t.Errorf("after the answer: %q", row.Attention)
	}
}

// TestWhatIsUnexplainedLasts: the money of a confirmed order came back, and no command of the saga asked for
// that. The parcel leaves and arrives all the same, and the question stays.
func TestWhatIsUnexplainedLasts(t *testing.T) {
	f := newFixture(t)
	id := newOrder()
	f.play(id, inputsOf(toConfirmed+" PaymentRefunded ShipmentDispatched ShipmentDelivered")...)
	row, log := f.saga(id)
	if row.State != "DELIVERED" || !row.Unexplained || !strings.HasPrefix(row.Attention, "PaymentRefunded came while the saga was CONFIRMED") {
		t.Errorf("%s asks for %q", row.State, row.Attention)
	}
	f.check(id, log)
	f.must(f.acknowledge(id, "ada", "charged again"))
	if row, _ := f.saga(id); row.Attention != "" || row.Unexplained {
		t.Errorf("after the acknowledgement: %+v", row)
	}
}

// TestAnAnswerOfANewerReleaseWaits: a process that does not know a saga's definition lets every event about
// it wait, also an answer to a command that only the newer release has.
func TestAnAnswerOfANewerReleaseWaits(t *testing.T) {
	f := newFixture(t)
	known := orchestrator.Definitions()
	newer := known[0]
	newer.Version = len(known) + 1
	id := newOrder()
	f.must(f.reactAt(f.process(app.Config{Definitions: append(known, newer)}), usual(id, orchestrator.OrderCreated)))
	answers := events.PaymentCommandAnswered{OrderID: id, Command: "AuthorizePayment", Outcome: "unchanged"}
	before := f.everything()
	for _, d := range []delivery{deliveryOf(app.OnPaymentCommandAnswered, answers), usual(id, orchestrator.PaymentCompleted)} {
		if err := f.react(d); errs.KindOf(err) != errs.Transient {
			t.Errorf("%s: %v", d.name, err)
		}
	}
	if after := f.everything(); strings.Join(after, "\n") != strings.Join(before, "\n") {
		t.Error("rows have changed")
	}
}

// movingOn is a connection on which something happens after the first query.
type movingOn struct {
	db.DBTX
	then func()
}

func (m *movingOn) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return rowThen{m.DBTX.QueryRow(ctx, sql, args...), m.then}
}

type rowThen struct {
	pgx.Row
	then func()
}

func (r rowThen) Scan(dest ...any) error {
	defer r.then()
	return r.Row.Scan(dest...)
}

// TestASagaIsReadAsItWas: the log that is read has the lines that the row counts, although the saga moves
// on between the queries.
func TestASagaIsReadAsItWas(t *testing.T) {
	f := newFixture(t)
	id := newOrder()
	f.take(id, orchestrator.OrderCreated)
	row, log, err := f.app.GetSaga(t.Context(), &movingOn{f.pool, func() { f.take(id, orchestrator.PaymentCompleted) }}, id)
	f.must(err)
	if row.State != "CHARGING" || int(row.LogLines) != len(log) || log[len(log)-1].ToState != row.State {
		t.Errorf("the saga is %s with %d lines, and the log has %+v", row.State, row.LogLines, log)
	}
}
