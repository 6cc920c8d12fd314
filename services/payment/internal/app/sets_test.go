package app_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/reaction"
	"eventshop.example/pkg/schema/schematest"
	"eventshop.example/pkg/telemetry"
	"eventshop.example/services/payment/internal/app"
	"eventshop.example/services/payment/internal/gateway"
	"eventshop.example/services/payment/payment"
)

// input is an event, an attempt or a command, with what it means to its order's payment.
type input struct {
	order string
	means app.Input
	cause outbox.Cause
}

func inputOf[T event.Event](means func(consumer.Event[T]) app.Input, e consumer.Event[T]) input {
	return input{e.Data.AggregateKey(), means(e), e.Cause()}
}

// TestSetsDoTheSame: however the steps are divided into sets, the same rows are stored and the same
// events follow.
func TestSetsDoTheSame(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	registry := schematest.Start(t)
	all := mixed(random, roads())
	apply := func(t *testing.T, sets [][]input) []string {
		t.Helper()
		f := newFixtureWithoutApp(t)
		f.app = app.New(app.Config{
			Pool: f.pool, Outbox: newOutbox(registry.Codec(events.Catalogue())), Log: slog.New(slog.DiscardHandler), Now: f.time,
			Gateway: gateway.New(f.gateway.URL, time.Second, patient()),
			// The first failed refund is the last one, so that one step finds a capture and gives up.
			Refunds: app.Refunds{MaxAttempts: 1, BackoffBase: backoffBase, BackoffMax: backoffMax, Deadline: deadline, Lease: lease},
		})
		for _, set := range sets {
			steps := make([]reaction.Step[app.Input], len(set))
			for i, in := range set {
				steps[i] = f.app.Payments.Step(in.order, in.means, in.cause)
			}
			if err := f.apply(steps...); err != nil {
				t.Fatalf("%d steps from %v of %q: %v", len(set), set[0].means.Kinds, set[0].order, err)
			}
		}
		return f.stored()
	}
	want := apply(t, slices.Collect(slices.Chunk(all, 1)))
	for _, most := range []int{3, 10, len(all)} {
		var sets [][]input
		for left := all; len(left) > 0; {
			n := min(1+random.IntN(most), len(left))
			if most == len(all) {
				n = len(left)
			}
			sets, left = append(sets, left[:n]), left[n:]
		}
		t.Run(fmt.Sprintf("up to %d", most), func(t *testing.T) {
			if diff := cmp.Diff(want, apply(t, sets)); diff != "" {
				t.Errorf("rows (-one by one +in sets):\n%s", diff)
			}
		})
	}
}

// roads returns the inputs of one order after the other, one order per road through the table.
func roads() []input {
	var all []input
	road := func(order string, inputs ...func(order string) input) {
		for _, in := range inputs {
			all = append(all, in(order))
		}
	}
	charge := func(answer gateway.Answer) func(string) input {
		return func(order string) input { return inputOf(answered(answer), created(order)) }
	}
	captured := gateway.Answer{Outcome: gateway.Captured, ChargeID: "ch-1", Amount: total, Currency: "GBP"}
	charged, notAsked := charge(captured), charge(gateway.Answer{})
	cancel := func(order string) input { return inputOf(app.OnShipmentCancelled, cancelled(order)) }
	short := func(order string) input {
		return inputOf(app.OnInventoryReservationFailed, delivered(events.InventoryReservationFailed{OrderID: order, Reason: "out_of_stock"}))
	}
	refused := func(order string) input {
		return inputOf(app.OnShipmentFailed, delivered(events.ShipmentFailed{OrderID: order, Reason: "address_not_served"}))
	}
	attempt := func(failure *app.Failure, answers []gateway.Answer, kinds ...payment.Input) func(string) input {
		return func(order string) input {
			return input{order, app.Input{Kinds: kinds, MustExist: true, Answers: answers, Failure: failure}, outbox.Cause{TraceParent: telemetry.NewTraceParent()}}
		}
	}
	tooLate := []gateway.Answer{captured}
	refund := attempt(nil, []gateway.Answer{{Outcome: gateway.Refunded, RefundID: "re-1", Amount: total, Currency: "GBP"}}, payment.RefundMade)
	down := &app.Failure{Text: "the gateway answered 503", Jitter: .5}
	retry := func(order string) input {
		return input{order, app.Input{Kinds: []payment.Input{payment.RetryRefund}, MustExist: true}, outbox.Cause{}}
	}
	command := func(answer gateway.Answer) func(string) input {
		return func(order string) input {
			return inputOf(func(e consumer.Event[events.ChargePayment]) app.Input { return app.OnChargePayment(e, answer) }, chargeCommand(order))
		}
	}
	undo := func(order string) input { return inputOf(app.OnRefundPayment, refundCommand(order, "customer")) }
	road("charged", charged)
	road("charged, twice delivered", charged, notAsked)
	road("declined", charge(gateway.Answer{Outcome: gateway.Declined, DeclineCode: "stolen_card", Detail: "call the bank"}), cancel)
	road("refunded", charged, short, refund, cancel)
	road("refund put off", charged, refused, attempt(&app.Failure{Text: "the circuit breaker is open", Refused: time.Minute}, nil), refund)
	road("void fails, then succeeds", cancel, attempt(down, nil), attempt(nil, []gateway.Answer{{Outcome: gateway.Voided}}, payment.VoidConfirmed), notAsked)
	road("void meets a decline", short, attempt(nil, []gateway.Answer{{Outcome: gateway.Declined, DeclineCode: "stolen_card"}}, payment.VoidDeclined))
	road("void is too late", cancel, notAsked, attempt(nil, []gateway.Answer{captured, {Outcome: gateway.Refunded, RefundID: "re-1"}}, payment.VoidTooLate, payment.RefundMade))
	road("void is too late and the refund fails", cancel, attempt(down, tooLate, payment.VoidTooLate), retry, refund)
	road("gateway contradicts itself", cancel, attempt(nil, []gateway.Answer{{Outcome: gateway.Voided}}, payment.VoidConfirmed), charged, refund)
	road("key voided by hand", charge(gateway.Answer{Outcome: gateway.Voided}), cancel)
	road("commands", command(captured), command(gateway.Answer{}), undo, undo, refund, undo, command(gateway.Answer{}))
	road("commands in the wrong order", undo, command(gateway.Answer{}), attempt(nil, []gateway.Answer{{Outcome: gateway.Voided}}, payment.VoidConfirmed))
	road("a command starts another round", command(captured), undo, attempt(down, nil), undo, refund)
	road("a command in a choreographed saga", charged, undo, command(gateway.Answer{}), cancel, refund)
	road("events in an orchestrated saga", command(captured), cancel, notAsked, undo, refund)
	return all
}

// mixed returns the inputs in a random order that keeps the order of each order's inputs.
func mixed(random *rand.Rand, all []input) []input {
	waiting := map[string][]input{}
	for _, in := range all {
		waiting[in.order] = append(waiting[in.order], in)
	}
	out := slices.Clone(all)
	random.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	for i, in := range out {
		out[i], waiting[in.order] = waiting[in.order][0], waiting[in.order][1:]
	}
	return out
}

// stored returns the rows of the payments, of their history and of the outbox. It leaves out what
// the outbox draws for each row: id, times and sequence number. nth keeps the order of a payment's
// events.
func (f *fixture) stored() []string {
	f.t.Helper()
	rows, err := f.pool.Query(f.t.Context(), `
		SELECT to_jsonb(p)::text FROM payments p
		UNION ALL SELECT to_jsonb(h)::text FROM payment_history h
		UNION ALL SELECT (to_jsonb(o) - '{id,seq,ce_time,created_at}'::text[] ||
			jsonb_build_object('nth', row_number() OVER (PARTITION BY aggregate_id ORDER BY seq)))::text FROM outbox o
		ORDER BY 1`)
	if err != nil {
		f.t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		f.t.Fatal(err)
	}
	return all
}
