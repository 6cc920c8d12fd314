package app_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/postgres"
	"eventshop.example/services/orchestrator/internal/app"
	"eventshop.example/services/orchestrator/orchestrator"
)

// TestTheServicesRoleCanDoNothingElse: all tests of this package run with the service's role of
// production.
func TestTheServicesRoleCanDoNothingElse(t *testing.T) {
	newFixture(t).db.Check(t)
}

// TestRollbackLeavesNothing: a crash between the decision and the commit. The record comes again.
func TestRollbackLeavesNothing(t *testing.T) {
	f := newFixture(t)
	id := newOrder()
	f.play(id, inputsOf(toReserving)...)
	want := f.everything()
	d := usual(id, orchestrator.InventoryReserved)
	crash := errors.New("the process died")
	err := postgres.InTx(t.Context(), f.pool, func(tx pgx.Tx) error {
		_, err := f.app.Sagas.Run(t.Context(), tx, f.app.Sagas.Step(d.order, d.input, d.cause))
		return errors.Join(err, crash)
	})
	if !errors.Is(err, crash) || !slices.Equal(f.everything(), want) {
		t.Fatalf("%v, and rows have changed", err)
	}
	f.must(f.react(d))
	if got := f.sent(id); got != "ChargePayment ReserveInventory ScheduleShipment" {
		t.Errorf("sent %s", got)
	}
	_, log := f.saga(id)
	f.check(id, log)
}

// TestTwoProcessesAtOnce gives each event to two processes at the same time, next to other events about
// the order, time limits and retries. One of them decides, the other finds a duplicate.
func TestTwoProcessesAtOnce(t *testing.T) {
	f := newFixture(t)
	other := f.process(app.Config{Begin: 1})
	for round := range 8 {
		id := newOrder()
		cancel := usual(id, orchestrator.OrderCancellationRequested)
		for i, in := range inputsOf(toShipped) {
			d := usual(id, in)
			var all sync.WaitGroup
			act := func(do func() error) {
				all.Go(func() {
					if err := do(); err != nil {
						t.Errorf("round %d, %s: %v", round, in, err)
					}
				})
			}
			act(func() error { return f.react(d) })
			act(func() error { return f.reactAt(other, d) })
			if i > 0 && i == round%6 {
				f.clock.Add(60)
				act(func() error { return f.react(cancel) })
				act(func() error { _, err := f.app.PassDue(t.Context()); return err })
				act(func() error { _, err := other.PassDue(t.Context()); return err })
			}
			all.Wait()
		}
		_, log := f.saga(id)
		f.check(id, log)
		seen := map[string]bool{}
		for _, line := range log {
			if line.EventID != "" && seen[line.EventID] {
				t.Errorf("round %d: %s twice: %+v", round, line.Input, log)
			}
			seen[line.EventID] = true
		}
	}
}

// TestLateAnswersAskForAPerson: a time limit passes once, whichever process notices it. It sends nothing.
// The answer ends the attention.
func TestLateAnswersAskForAPerson(t *testing.T) {
	f := newFixture(t)
	id, punctual, started := newOrder(), newOrder(), newOrder()
	f.play(id, inputsOf(toReserving)...)
	f.play(punctual, inputsOf(toConfirmed)...)
	f.clock.Add(29)
	f.take(started, orchestrator.OrderCreated)
	f.passDue(0)
	f.clock.Add(1)
	if row, _ := f.saga(id); row.DueAt == nil || !row.DueAt.Equal(start.Add(30*time.Second)) || row.Attention != "" {
		t.Fatalf("due at %v, attention %q", row.DueAt, row.Attention)
	}
	other := f.process(app.Config{Begin: 1})
	var both sync.WaitGroup
	for _, a := range []*app.App{f.app, other} {
		both.Go(func() {
			if _, err := a.PassDue(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	f.passDue(0)
	// A process that has looked before decides now, about a limit that has passed and one that has not.
	noticed := func(order string) delivery {
		return delivery{order: order, input: app.Input{Kind: orchestrator.DuePassed}}
	}
	f.must(f.react(noticed(id), noticed(started), noticed(punctual)))
	row, log := f.saga(id)
	if len(log) != 3 || log[2].Input != "DuePassed" || log[2].Action != "wait" || log[2].Detail != row.Attention || row.DueAt != nil ||
		!strings.Contains(row.Attention, "no answer to ReserveInventory within 30s") || f.sent(id) != "ChargePayment ReserveInventory" {
		t.Errorf("attention %q, due at %v, log %+v, sent %s", row.Attention, row.DueAt, log, f.sent(id))
	}
	for _, untouched := range []string{punctual, started} {
		if row, _ := f.saga(untouched); row.Attention != "" {
			t.Errorf("attention %q in %s", row.Attention, row.State)
		}
	}
	f.take(id, orchestrator.InventoryReserved)
	if row, _ := f.saga(id); row.Attention != "" || row.DueAt == nil || !row.DueAt.Equal(start.Add(60*time.Second)) {
		t.Errorf("after the answer: attention %q, due at %v", row.Attention, row.DueAt)
	}
}

func (f *fixture) passDue(want int) {
	f.t.Helper()
	if n, err := f.app.PassDue(f.t.Context()); err != nil || n != want {
		f.t.Errorf("%d time limits, %v, want %d", n, err, want)
	}
}

// TestRetrySendsAgain: the same command with a new id and the next version, in the trace of the saga.
func TestRetrySendsAgain(t *testing.T) {
	f := newFixture(t)
	id := newOrder()
	f.play(id, inputsOf(toScheduling+" ShipmentFailed")...)
	f.must(f.retry(id))
	f.must(f.retry(id))
	commands := f.commands(id)
	last, before := commands[len(commands)-1], commands[len(commands)-3]
	if f.sent(id) != "ChargePayment ReserveInventory ScheduleShipment ReleaseInventory ReleaseInventory ReleaseInventory" ||
		last.id == before.id || last.version != before.version+2 || fmt.Sprint(last.event) != fmt.Sprint(before.event) || fmt.Sprint(last.envelope) != fmt.Sprint(before.envelope) {
		t.Errorf("sent again\n%+v, first\n%+v", last, before)
	}
	row, log := f.saga(id)
	if row.Attempt != 3 || row.Step != "reserve" || !slices.Equal(row.CompensationsDue, []string{"ReleaseInventory", "RefundPayment"}) {
		t.Errorf("%+v", row)
	}
	f.check(id, log)
	f.take(id, orchestrator.InventoryReleased)
	if row, _ := f.saga(id); row.Attempt != 1 || row.Step != "charge" {
		t.Errorf("after the answer: %+v", row)
	}
	f.play(id, inputsOf("PaymentRefunded OrderCancelled")...)
	if err := f.retry(id); errs.KindOf(err) != errs.Conflict || !strings.Contains(err.Error(), "CANCELLED") {
		t.Errorf("at the end: %v", err)
	}
	if err := f.retry(newOrder()); errs.KindOf(err) != errs.NotFound {
		t.Errorf("without a saga: %v", err)
	}
	_, again := f.saga(id)
	if len(again) != len(log)+3 {
		t.Errorf("a retry that was refused is in the log: %+v", again)
	}
}

// TestContradictingStyles: an order whose data names another style than its header begins no saga. Once
// it has begun, another OrderCreated with another style changes nothing. Both ask for a person, until one
// has acknowledged it.
func TestContradictingStyles(t *testing.T) {
	f := newFixture(t)
	for _, style := range []string{"choreographed", "", "dance"} {
		id := newOrder()
		wrong := created(id)
		wrong.SagaStyle = style
		f.must(f.react(deliveryOf(app.OnOrderCreated, wrong)))
		f.play(id, inputsOf("OrderCreated OrderCancellationRequested PaymentCompleted")...)
		row, log := f.saga(id)
		if row.State != "" || !strings.Contains(row.Attention, fmt.Sprintf("%q", style)) || f.sent(id) != "" || log[0].Input != "OrderCreated of another style" || len(log) != 4 {
			t.Errorf("%+v, log %+v, sent %s", row, log, f.sent(id))
		}
		if err := f.retry(id); errs.KindOf(err) != errs.Conflict || !strings.Contains(err.Error(), "NONE") {
			t.Errorf("retry: %v", err)
		}

		began := newOrder()
		f.play(began, inputsOf(toReserving)...)
		wrong.OrderID = began
		f.must(f.react(deliveryOf(app.OnOrderCreated, wrong)))
		row, _ = f.saga(began)
		if row.State != "RESERVING" || row.Attention == "" || f.sent(began) != "ChargePayment ReserveInventory" {
			t.Errorf("%+v, sent %s", row, f.sent(began))
		}
		f.take(began, orchestrator.InventoryReserved)
		if row, _ := f.saga(began); row.Attention == "" || row.State != "SCHEDULING" {
			t.Errorf("after the next answer: %+v", row)
		}
		for _, id := range []string{id, began} {
			f.must(f.acknowledge(id, "ada", "a bug in a script"))
			if row, _ := f.saga(id); row.Attention != "" || row.Unexplained {
				t.Errorf("acknowledged: %+v", row)
			}
		}
	}
}

// TestHopelessEvents: events that no saga can ever take.
func TestHopelessEvents(t *testing.T) {
	f := newFixture(t)
	id := newOrder()
	f.play(id, inputsOf(toReserving)...)
	want := f.everything()
	unknown := newOrder()
	for text, d := range map[string]delivery{
		"there is no saga of order " + unknown: usual(unknown, orchestrator.PaymentCompleted),
		`no command "ChargeTwice"`:             deliveryOf(app.OnPaymentCommandAnswered, events.PaymentCommandAnswered{OrderID: id, Command: "ChargeTwice", Outcome: "unchanged"}),
		`no command "CancelOrder"`:             deliveryOf(app.OnPaymentCommandAnswered, events.PaymentCommandAnswered{OrderID: id, Command: "CancelOrder", Outcome: "unchanged"}),
		`unknown outcome "perhaps"`:            deliveryOf(app.OnInventoryCommandAnswered, events.InventoryCommandAnswered{OrderID: id, Command: "ReserveInventory", Outcome: "perhaps"}),
	} {
		if err := f.react(d); errs.KindOf(err) != errs.Hopeless || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, want a hopeless error with %q", err, text)
		}
	}
	if !slices.Equal(f.everything(), want) {
		t.Error("rows have changed")
	}
}

// TestRowsWithoutABeginning: the row of an OrderCreated that failed by its own fault has no saga, until
// the event succeeds.
func TestRowsWithoutABeginning(t *testing.T) {
	f := newFixture(t)
	id := newOrder()
	err := postgres.InTx(t.Context(), f.pool, func(tx pgx.Tx) error {
		d := usual(id, orchestrator.OrderCreated)
		work, err := f.app.Sagas.Begin(t.Context(), tx, []step{f.app.Sagas.Step(d.order, d.input, d.cause)})
		if err != nil {
			return err
		}
		return work.Save(t.Context(), tx) // and nothing was decided
	})
	f.must(err)
	if _, _, err := f.app.GetSaga(t.Context(), f.pool, id); errs.KindOf(err) != errs.NotFound {
		t.Errorf("GetSaga: %v", err)
	}
	if rows, err := f.app.ListSagas(t.Context(), app.SagaFilter{Limit: 10}); err != nil || len(rows) != 0 {
		t.Errorf("ListSagas: %+v, %v", rows, err)
	}
	if err := f.react(usual(id, orchestrator.PaymentCompleted)); errs.KindOf(err) != errs.Hopeless {
		t.Errorf("an event: %v", err)
	}
	if err := f.retry(id); errs.KindOf(err) != errs.NotFound {
		t.Errorf("a retry: %v", err)
	}
	f.take(id, orchestrator.OrderCreated)
	if f.sent(id) != "ChargePayment" {
		t.Errorf("sent %s", f.sent(id))
	}
}

// TestNoSchemaNoDecision: while a command cannot be encoded, nothing is decided.
func TestNoSchemaNoDecision(t *testing.T) {
	f := newFixture(t)
	id := newOrder()
	f.take(id, orchestrator.OrderCreated)
	want := f.everything()
	away := errs.New(errs.Transient, "the registry is away")
	f.app.Sagas.Outbox = outbox.New(outbox.Config{Source: "/eventshop/orchestrator", Types: f.codec.Types(), Encode: failing(away)})
	if err := f.react(usual(id, orchestrator.PaymentCompleted)); !errors.Is(err, away) || !slices.Equal(f.everything(), want) {
		t.Errorf("%v, and rows have changed: %s", err, f.everything())
	}
}
