package app_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"eventshop.example/pkg/errs"
	"eventshop.example/services/orchestrator/internal/app"
	"eventshop.example/services/orchestrator/orchestrator"
)

// TestReservingFirst: what each failure and each cancellation leads to under definition 2. An order that
// is out of stock is not charged.
func TestReservingFirst(t *testing.T) {
	f := newFixture(t)
	f.begins(orchestrator.Definitions()[1])
	const (
		all       = "ReserveInventory ChargePayment ScheduleShipment ConfirmOrder"
		undoAll   = " CancelShipment RefundPayment ReleaseInventory CancelOrder"
		requested = " OrderCancellationRequested"
		stopped   = " ShipmentCancelled PaymentRefunded InventoryReleased OrderCancelled"
	)
	for name, tt := range map[string]struct {
		inputs, commands string
		end              orchestrator.State
		reason           string
	}{
		"all goes well":                       {shipped2 + " ShipmentDelivered", all, orchestrator.Delivered, ""},
		"too little stock":                    {reserving2 + " InventoryReservationFailed OrderCancelled", "ReserveInventory CancelOrder", orchestrator.Cancelled, "out_of_stock"},
		"the reservation is refused":          {reserving2 + " ReserveInventory:refused ReleaseInventory:unchanged OrderCancelled", "ReserveInventory ReleaseInventory CancelOrder", orchestrator.Cancelled, "out_of_stock"},
		"the card is declined":                {charging2 + " PaymentFailed InventoryReleased OrderCancelled", "ReserveInventory ChargePayment ReleaseInventory CancelOrder", orchestrator.Cancelled, "payment_failed"},
		"the charge is refused":               {charging2 + " ChargePayment:refused RefundPayment:unchanged InventoryReleased OrderCancelled", "ReserveInventory ChargePayment RefundPayment ReleaseInventory CancelOrder", orchestrator.Cancelled, "payment_failed"},
		"the carrier refuses":                 {scheduling2 + " ShipmentFailed PaymentRefunded InventoryReleased OrderCancelled", "ReserveInventory ChargePayment ScheduleShipment RefundPayment ReleaseInventory CancelOrder", orchestrator.Cancelled, "shipment_failed"},
		"the order cannot confirm":            {confirming2 + " ConfirmOrder:refused" + stopped, all + undoAll, orchestrator.Cancelled, "shipment_failed"},
		"cancelled while RESERVING":           {reserving2 + requested + " ReleaseInventory:unchanged OrderCancelled", "ReserveInventory ReleaseInventory CancelOrder", orchestrator.Cancelled, "customer"},
		"cancelled while RESERVING, reserved": {reserving2 + requested + " InventoryReserved InventoryReleased OrderCancelled", "ReserveInventory ReleaseInventory CancelOrder", orchestrator.Cancelled, "customer"},
		"cancelled while CHARGING":            {charging2 + requested + " PaymentVoided InventoryReleased OrderCancelled", "ReserveInventory ChargePayment RefundPayment ReleaseInventory CancelOrder", orchestrator.Cancelled, "customer"},
		"cancelled while CHARGING, declined":  {charging2 + requested + " PaymentFailed RefundPayment:unchanged InventoryReleased ReleaseInventory:unchanged OrderCancelled", "ReserveInventory ChargePayment RefundPayment ReleaseInventory CancelOrder", orchestrator.Cancelled, "customer"},
		"cancelled while SCHEDULING":          {scheduling2 + requested + " ShipmentScheduled" + stopped, "ReserveInventory ChargePayment ScheduleShipment" + undoAll, orchestrator.Cancelled, "customer"},
		"cancelled while CONFIRMED":           {confirmed2 + requested + stopped, all + undoAll, orchestrator.Cancelled, "customer"},
		"cancelled too late":                  {confirmed2 + requested + " ShipmentDispatched ShipmentCancellationRejected ShipmentDelivered", all + " CancelShipment", orchestrator.Delivered, "customer"},
		"an old failure to refund":            {scheduling2 + " ShipmentFailed PaymentRefundFailed PaymentRefunded PaymentRefundFailed InventoryReleased OrderCancelled", "ReserveInventory ChargePayment ScheduleShipment RefundPayment ReleaseInventory CancelOrder", orchestrator.Cancelled, "shipment_failed"},
	} {
		id := newOrder()
		f.play(id, inputsOf(tt.inputs)...)
		row, log := f.saga(id)
		if got := f.sent(id); got != tt.commands || row.State != string(tt.end) || row.Attention != "" || row.Reason != tt.reason || row.Definition != 2 {
			t.Errorf("%s: %s for %q under definition %d, attention %q, after the commands\n%s, want\n%s",
				name, row.State, row.Reason, row.Definition, row.Attention, got, tt.commands)
		}
		f.check(id, log)
	}
}

// TestTheSettingChangesWhileSagasRun: a process that is set to definition 2 joins one that is set to 1.
// Each begins sagas as it is set, both take the events of all sagas in the same sets, and every saga ends
// under the definition that it began under. Then the first process stops, and definition 1 is drained.
func TestTheSettingChangesWhileSagasRun(t *testing.T) {
	f := newFixture(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	before, after := f.app, f.process(app.Config{Begin: 2})
	var orders [][]delivery
	want := map[string]int{}
	for i := range 30 {
		id, definition := newOrder(), 1+i%2
		if i >= 20 {
			definition = 2 // the setting has changed everywhere
		}
		want[id] = definition
		var all []delivery
		for _, in := range inputsOf(forwards[definition-1]) {
			all = append(all, usual(id, in))
		}
		f.must(f.reactAt([]*app.App{before, after}[definition-1], all[0]))
		orders = append(orders, all[1:])
	}
	f.uses(before, "1 begins running 10 ended 0", "2 newest running 20 ended 0")
	f.uses(after, "1 running 10 ended 0", "2 newest begins running 20 ended 0")
	for len(orders) > 0 {
		var set []delivery // of sagas of both definitions
		for range 1 + random.IntN(8) {
			if len(orders) == 0 {
				break
			}
			i := random.IntN(len(orders))
			set, orders[i] = append(set, orders[i][0]), orders[i][1:]
			if len(orders[i]) == 0 {
				orders = slices.Delete(orders, i, i+1)
			}
		}
		f.must(f.reactAt([]*app.App{before, after}[random.IntN(2)], set...))
	}
	commands := []string{forward, "ReserveInventory ChargePayment ScheduleShipment ConfirmOrder"}
	for id, definition := range want {
		row, log := f.saga(id)
		if row.State != "DELIVERED" || int(row.Definition) != definition || f.sent(id) != commands[definition-1] {
			t.Errorf("%s under definition %d, want %d; sent %s", row.State, row.Definition, definition, f.sent(id))
		}
		f.check(id, log)
	}
	f.uses(before, "1 begins running 0 ended 10", "2 newest running 0 ended 20")
	f.uses(after, "1 running 0 ended 10 drained", "2 newest begins running 0 ended 20")
}

// TestTwoSettingsAtOnce gives one OrderCreated to two processes with different settings at the same time.
// The saga begins once, and its log is of the definition that its row names.
func TestTwoSettingsAtOnce(t *testing.T) {
	f := newFixture(t)
	other := f.process(app.Config{Begin: 2})
	for range 10 {
		id := newOrder()
		d := usual(id, orchestrator.OrderCreated)
		ended := make(chan error, 2)
		for _, a := range []*app.App{f.app, other} {
			go func() { ended <- f.reactAt(a, d) }()
		}
		f.must(<-ended)
		f.must(<-ended)
		row, log := f.saga(id)
		if want := []string{"ChargePayment", "ReserveInventory"}[row.Definition-1]; f.sent(id) != want || len(log) != 1 {
			t.Errorf("definition %d: sent %s, log %+v", row.Definition, f.sent(id), log)
		}
		f.check(id, log)
	}
}

// uses compares what a process says of the definitions.
func (f *fixture) uses(a *app.App, want ...string) {
	f.t.Helper()
	all, err := a.ListDefinitions(f.t.Context())
	f.must(err)
	var got []string
	for _, use := range all {
		text := fmt.Sprint(use.Version)
		if use.Newest {
			text += " newest"
		}
		if use.Begins {
			text += " begins"
		}
		text += fmt.Sprintf(" running %d ended %d", use.Running, use.Ended)
		if use.Drained() {
			text += " drained"
		}
		got = append(got, text)
	}
	if !slices.Equal(got, want) {
		f.t.Errorf("definitions %q, want %q", got, want)
	}
}

// TestUnknownDefinitionsWait: this program decides nothing for a saga of a newer release, and nothing
// about it fails for good. Sagas of the definitions that it knows go on.
func TestUnknownDefinitionsWait(t *testing.T) {
	f := newFixture(t)
	old := newOrder()
	f.play(old, inputsOf(toReserving)...)
	known := orchestrator.Definitions()
	next := orchestrator.Definition{Version: len(known) + 1, Steps: slices.Clone(known[0].Steps), CloseDue: known[0].CloseDue}
	next.Steps = slices.Delete(next.Steps, 1, 2) // without a reservation
	newer := f.process(app.Config{Definitions: append(known, next)})
	id := newOrder()
	f.must(f.reactAt(newer, usual(id, orchestrator.OrderCreated)))
	want := f.everything()

	d := usual(id, orchestrator.PaymentCompleted)
	if err := f.react(d); errs.KindOf(err) != errs.Transient || !strings.Contains(err.Error(), fmt.Sprintf("definition %d", next.Version)) {
		t.Errorf("an event: %v", err)
	}
	if err := f.react(usual(id, orchestrator.OrderCreated)); errs.KindOf(err) != errs.Transient {
		t.Errorf("its OrderCreated again: %v", err)
	}
	if err := f.retry(id); errs.KindOf(err) != errs.Transient {
		t.Errorf("a retry: %v", err)
	}
	f.clock.Add(60)
	f.passDue(1) // the old one's
	if got := f.everything(); len(got) != len(want)+1 {
		t.Errorf("rows %s", got)
	}
	f.must(f.reactAt(newer, d, usual(old, orchestrator.InventoryReserved)))
	if got := f.sent(id); got != "ChargePayment ScheduleShipment" {
		t.Errorf("under the next definition: %s", got)
	}
	if row, _ := f.saga(id); int(row.Definition) != next.Version {
		t.Errorf("definition %d", row.Definition)
	}
	if got := f.sent(old); got != "ChargePayment ReserveInventory ScheduleShipment" {
		t.Errorf("under the first definition: %s", got)
	}
	f.uses(newer, "1 running 1 ended 0", "2 running 0 ended 0 drained", "3 newest begins running 1 ended 0")
	f.uses(f.app, "1 begins running 1 ended 0", "2 running 0 ended 0 drained", "3 newest running 1 ended 0")
	if uses, err := f.app.ListDefinitions(t.Context()); err != nil || len(uses[2].Steps) != 0 || len(uses[1].Steps) != 4 {
		t.Errorf("steps %+v, %v", uses, err)
	}
}
