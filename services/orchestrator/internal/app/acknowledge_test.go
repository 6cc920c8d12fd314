package app_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/postgres"
	"eventshop.example/services/orchestrator/orchestrator"
)

func (f *fixture) acknowledge(order, by, note string) error {
	return postgres.InTx(f.t.Context(), f.pool, func(tx pgx.Tx) error {
		_, err := f.app.AcknowledgeSaga(f.t.Context(), tx, order, by, note, 0)
		return err
	})
}

// TestAcknowledge: where no answer to a command is open, an operator ends the attention. It is a line of the log,
// sends nothing, and changes nothing about how the saga goes on.
func TestAcknowledge(t *testing.T) {
	f := newFixture(t)
	for state, road := range map[string]string{
		"CANCELLED": toCharging + " PaymentFailed OrderCancelled ShipmentDispatched",
		"DELIVERED": toShipped + " ShipmentDelivered OrderCancelled",
		"CONFIRMED": toConfirmed + " PaymentRefunded",
		"SHIPPED":   toShipped + " OrderCancelled",
	} {
		id := newOrder()
		f.play(id, inputsOf(road)...)
		before, lines := f.saga(id)
		sent := f.sent(id)
		if before.State != state || !strings.Contains(before.Attention, "then acknowledge it with POST /sagas/"+id+"/acknowledge") {
			t.Errorf("%s: %s asks for %q", state, before.State, before.Attention)
			continue
		}
		f.must(f.acknowledge(id, "ada", "the parcel came back"))
		row, log := f.saga(id)
		if row.Attention != "" || f.sent(id) != sent || len(log) != len(lines)+1 {
			t.Errorf("%s: attention %q, sent %s, log %+v", state, row.Attention, f.sent(id), log)
		}
		last := log[len(log)-1]
		if last.Input != "Acknowledged" || last.Action != "apply" || last.FromState != state || last.ToState != state || last.Detail != "ada: the parcel came back" || last.Command+last.EventID != "" {
			t.Errorf("%s: %+v", state, last)
		}
		row.Attention, row.Unexplained, row.LogLines = before.Attention, before.Unexplained, before.LogLines
		if got, want := fmt.Sprintf("%+v", row), fmt.Sprintf("%+v", before); got != want {
			t.Errorf("%s: the row is\n%s, before\n%s", state, got, want)
		}
		want := f.everything()
		if err := f.acknowledge(id, "ada", "again"); errs.KindOf(err) != errs.Conflict || !strings.Contains(err.Error(), "asks for no attention") || !slices.Equal(f.everything(), want) {
			t.Errorf("%s, again: %v", state, err)
		}
	}
}

// TestAcknowledgedSagasGoOn: the next event is decided as ever, and may ask for attention once more.
func TestAcknowledgedSagasGoOn(t *testing.T) {
	f := newFixture(t)
	id := newOrder()
	f.play(id, inputsOf(toConfirmed+" PaymentRefunded")...)
	f.must(f.acknowledge(id, "", "charged again by hand"))
	if _, log := f.saga(id); log[len(log)-1].Detail != "charged again by hand" {
		t.Errorf("without a name: %+v", log[len(log)-1])
	}
	f.play(id, inputsOf("PaymentRefunded PaymentVoided")...) // the first is known
	if row, _ := f.saga(id); row.State != "CONFIRMED" || !strings.Contains(row.Attention, "PaymentVoided") {
		t.Errorf("%s asks for %q", row.State, row.Attention)
	}
	f.must(f.acknowledge(id, "ada", "so was this"))
	f.play(id, inputsOf("ShipmentDispatched ShipmentDelivered")...)
	if row, _ := f.saga(id); row.State != string(orchestrator.Delivered) || row.Attention != "" {
		t.Errorf("%s asks for %q", row.State, row.Attention)
	}
}

// TestAcknowledgingWhatWasSeen: what came up after an operator has looked is not acknowledged unseen.
func TestAcknowledgingWhatWasSeen(t *testing.T) {
	f := newFixture(t)
	id := newOrder()
	f.play(id, inputsOf(toConfirmed+" PaymentRefunded")...)
	_, seen := f.saga(id)
	f.play(id, inputsOf("PaymentVoided")...)
	acknowledge := func(lines int) error {
		return postgres.InTx(t.Context(), f.pool, func(tx pgx.Tx) error {
			_, err := f.app.AcknowledgeSaga(t.Context(), tx, id, "ada", "seen", int32(lines))
			return err
		})
	}
	want := f.everything()
	if err := acknowledge(len(seen)); errs.KindOf(err) != errs.Conflict || !strings.Contains(err.Error(), "look again") || !slices.Equal(f.everything(), want) {
		t.Errorf("with an old log: %v", err)
	}
	f.must(acknowledge(len(seen) + 1))
	if row, _ := f.saga(id); row.Attention != "" {
		t.Errorf("attention %q", row.Attention)
	}
}

// TestNothingToAcknowledge: a saga that waits for an answer keeps its attention until the answer comes.
func TestNothingToAcknowledge(t *testing.T) {
	f := newFixture(t)
	late, calm := newOrder(), newOrder()
	f.play(late, inputsOf(toReserving+" DuePassed")...)
	f.play(calm, inputsOf(toReserving)...)
	want := f.everything()
	for id, text := range map[string]string{late: "waits for the answer", calm: "asks for no attention"} {
		if err := f.acknowledge(id, "ada", "seen"); errs.KindOf(err) != errs.Conflict || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, want %q", err, text)
		}
	}
	if err := f.acknowledge(newOrder(), "ada", "seen"); errs.KindOf(err) != errs.NotFound {
		t.Errorf("without a saga: %v", err)
	}
	if !slices.Equal(f.everything(), want) {
		t.Error("rows have changed")
	}
}
