package app_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/services/payment/internal/app"
	"eventshop.example/services/payment/internal/db"
	"eventshop.example/services/payment/internal/gatewaytest"
	"eventshop.example/services/payment/payment"
)

// TestAContradictionChangesNothing, in both directions: the state stays, the gateway is not called and
// nothing is published. The payment asks for a person, once for each contradiction.
func TestAContradictionChangesNothing(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		order func(f *fixture) string
		late  func(f *fixture, id string)
		want  string
	}{
		"a command to charge, choreographed": {(*fixture).paid,
			func(f *fixture, id string) { f.command(chargeCommand(id)) },
			"ChargePayment says orchestrated, and the order's saga is choreographed"},
		"a command to refund, choreographed": {(*fixture).paid,
			func(f *fixture, id string) { mustReceive(f, app.OnRefundPayment, refundCommand(id, "customer")) },
			"RefundPayment says orchestrated, and the order's saga is choreographed"},
		"the order, orchestrated": {(*fixture).charged,
			func(f *fixture, id string) { f.mustCreate(id, "choreographed") },
			"OrderCreated says choreographed, and the order's saga is orchestrated"},
		"a compensation, orchestrated": {(*fixture).charged,
			func(f *fixture, id string) { mustReceive(f, app.OnShipmentCancelled, cancelled(id)) },
			"ShipmentCancelled says choreographed, and the order's saga is orchestrated"},
		"an order that names the other style": {(*fixture).paid,
			func(f *fixture, id string) { f.mustCreate(id, "orchestrated") },
			"OrderCreated says orchestrated, and the order's saga is choreographed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, log := withLog(t)
			f.work(f.app)
			id := tt.order(f)
			before, reported, calls := f.get(id), f.published(id), f.calls()
			tt.late(f, id)
			tt.late(f, id)
			after := f.get(id)
			if want := "the style of the saga is contradicted: " + tt.want; after.Attention != want {
				t.Errorf("attention %q, want %q", after.Attention, want)
			}
			before.Attention = after.Attention
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("the row changed (-before +after):\n%s", diff)
			}
			if diff := cmp.Diff(reported, f.published(id)); diff != "" || f.calls() != calls {
				t.Errorf("%d calls; published (-before +after):\n%s", f.calls()-calls, diff)
			}
			record, _, _ := strings.Cut(tt.want, " ")
			if diff := cmp.Diff([]string{"ChargeCaptured COMPLETED", record + " COMPLETED"}, f.history(id)); diff != "" {
				t.Errorf("history (-want +got):\n%s", diff)
			}
			log.Await(t, id, "WARN", "payment needs a person")
		})
	}
}

// mustCreate delivers an OrderCreated with the header of the choreographed style, whose data name a style.
func (f *fixture) mustCreate(id, style string) {
	f.t.Helper()
	e := created(id)
	e.Data.SagaStyle = style
	if err := f.create(e); err != nil {
		f.t.Fatal(err)
	}
}

// TestAnOrderThatContradictsItselfIsNotCharged, also when it is the first record about the order.
func TestAnOrderThatContradictsItselfIsNotCharged(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := newOrder()
	f.mustCreate(id, "orchestrated")
	p := f.get(id)
	if p.State != string(payment.None) || p.SagaStyle != "choreographed" || p.Amount != 0 || p.Attention == "" || f.calls() != 0 {
		t.Errorf("%d calls, row %+v", f.calls(), p)
	}
	f.command(chargeCommand(id)) // does not turn it into an orchestrated one
	if p := f.get(id); p.SagaStyle != "choreographed" || f.calls() != 0 || !strings.Contains(p.Attention, "; the style") {
		t.Errorf("%d calls, row %+v", f.calls(), p)
	}
	f.expectEmitted(id)
}

// TestAContradictionDuringTheCall: another process creates the row while the gateway is called. What the
// gateway answered is kept for the person who looks.
func TestAContradictionDuringTheCall(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := newOrder()
	e := chargeCommand(id)
	answer, err := call(f, f.chargePayment(), e)
	if err != nil {
		t.Fatal(err)
	}
	mustReceive(f, app.OnShipmentCancelled, cancelled(id))
	if err := record(f, f.chargePayment(), e, answer); err != nil {
		t.Fatal(err)
	}
	f.expectState(id, payment.Voiding)
	if p := f.get(id); !strings.Contains(p.Attention, "the gateway had answered: captured") {
		t.Errorf("attention %q", p.Attention)
	}
	f.work(f.app)
	f.await(id, payment.Refunded)
	if net := f.gateway.Net(app.ChargeKey(id)); net != 0 {
		t.Errorf("%d are kept", net)
	}
}

// TestAContradictionHidesNoFailedVoid: the attention of a contradiction is not that of attempts that are
// used up, which an event has to report.
func TestAContradictionHidesNoFailedVoid(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.gateway.Fail(gatewaytest.Void, gatewaytest.Fault{Status: 503})
	f.gateway.Fail(gatewaytest.Lookup, gatewaytest.Fault{Status: 503})
	id := newOrder()
	mustReceive(f, app.OnRefundPayment, refundCommand(id, "customer"))
	mustReceive(f, app.OnShipmentCancelled, cancelled(id))
	f.work(f.app)
	for n := int32(1); n <= maxAttempts+1; n++ {
		f.awaitAttempts(id, n)
		f.advance(backoffMax)
	}
	f.expectEmitted(id, "PaymentRefundFailed@1")
}

// TestTheFirstOfASetDecidesTheStyle: also when both records are in one transaction.
func TestTheFirstOfASetDecidesTheStyle(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id, other := newOrder(), newOrder()
	command, compensation := refundCommand(id, "customer"), cancelled(id)
	elsewhere := delivered(events.ShipmentFailed{OrderID: other})
	err := f.apply(stepOf(f, app.OnRefundPayment, command), stepOf(f, app.OnShipmentCancelled, compensation),
		stepOf(f, app.OnShipmentFailed, elsewhere))
	if err != nil {
		t.Fatal(err)
	}
	styles := map[string]string{id: "orchestrated", other: "choreographed"}
	for order, want := range styles {
		p := f.get(order)
		if p.SagaStyle != want || p.State != string(payment.Voiding) || (p.Attention != "") != (order == id) {
			t.Errorf("row %+v, want style %s", p, want)
		}
	}
}

// TestUpgradeKeepsChoreographedOrders starts from a database of the previous release, with a row of it, and
// with one that a process of it adds after the migration.
func TestUpgradeKeepsChoreographedOrders(t *testing.T) {
	t.Parallel()
	before := fstest.MapFS{}
	for _, name := range []string{"00001_payments.sql", "00002_returning_since.sql"} {
		data, err := os.ReadFile("../../migrations/" + name)
		if err != nil {
			t.Fatal(err)
		}
		before[name] = &fstest.MapFile{Data: data}
	}
	url := pgtest.NewURL(t, outbox.Component(), postgres.Component{Name: "payment", FS: before})
	pool, err := postgres.Open(t.Context(), postgres.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	const old = `INSERT INTO payments (order_id, state, correlation_id, created_at, updated_at) VALUES ($1, 'NONE', 'c', now(), now())`
	if _, err := pool.Exec(t.Context(), old, "of before"); err != nil {
		t.Fatal(err)
	}
	if err := postgres.Migrate(t.Context(), url, postgres.Component{Name: "payment", FS: os.DirFS("../../migrations")}); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), old, "of an old process"); err != nil {
		t.Fatal(err)
	}
	rows, err := db.New(pool).GetPayments(context.Background(), []string{"of before", "of an old process"})
	if err != nil || len(rows) != 2 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for _, row := range rows {
		if row.SagaStyle != string(event.Choreographed) {
			t.Errorf("row %+v", row)
		}
	}
}
