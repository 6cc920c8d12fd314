package app

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/outbox/outboxtest"
	"eventshop.example/services/shipping/internal/carrier"
	"eventshop.example/services/shipping/internal/carrier/carriertest"
	"eventshop.example/services/shipping/shipping"
)

// orchestrated wraps data in the same way as the consumer, in the orchestrated style.
func orchestrated[T event.Event](data T) consumer.Event[T] {
	e := wrapped(data)
	e.Style = event.Orchestrated
	return e
}

func scheduleCommand(order string) consumer.Event[events.ScheduleShipment] {
	return orchestrated(events.ScheduleShipment{
		OrderID: order, CustomerID: "cust-7",
		Address: events.DeliveryAddress{Street: "123 Babbage Lane", City: "London", PostalCode: "SW1A 1AA", Country: "GB"},
		Items:   []events.ParcelItem{{SKU: "WIDGET-01", Quantity: 2}, {SKU: "GADGET-05", Quantity: 1}}, OccurredAt: noon,
	})
}

func cancelCommand(order string) consumer.Event[events.CancelShipment] {
	return orchestrated(events.CancelShipment{OrderID: order, Reason: "customer", OccurredAt: noon})
}

func (f *fixture) scheduleShipment() error {
	return deliver(f, OnScheduleShipment, scheduleCommand(orderID))
}

func (f *fixture) cancelShipment() error { return deliver(f, OnCancelShipment, cancelCommand(orderID)) }

// published is an event of the outbox.
type published = outboxtest.Row

func (f *fixture) published(order string) []published {
	f.t.Helper()
	return outboxtest.Rows(f.t, f.pool, order)
}

func (f *fixture) wantPublished(order string, want ...published) {
	f.t.Helper()
	if diff := cmp.Diff(append([]published{}, want...), f.published(order)); diff != "" {
		f.t.Errorf("published (-want +got):\n%s", diff)
	}
}

// in stores the shipment of an orchestrated order in a state, as steps before would have left it.
func (f *fixture) in(state shipping.State) (order string) {
	f.t.Helper()
	order = uuid.Must(uuid.NewV7()).String()
	if state == shipping.None {
		return order
	}
	left := state == shipping.Dispatched || state == shipping.Delivered
	_, err := f.pool.Exec(f.t.Context(), `INSERT INTO shipments
		(order_id, state, version, correlation_id, saga_style, shipment_id, dispatched_at, delivered_at, created_at, updated_at)
		VALUES ($1, $2, 1, $3, 'orchestrated', 'shp-0', $4, $5, $6, $6)`,
		order, state, orderID, map[bool]any{true: noon}[left], map[bool]any{true: noon}[state == shipping.Delivered], noon)
	if err != nil {
		f.t.Fatal(err)
	}
	return order
}

// TestCommandsInEveryState: a command is answered by the event of its step, or by an answer that names
// the state. Either has the next version, the style, and the command as its cause. The carrier is called
// only where the row does not show the outcome.
func TestCommandsInEveryState(t *testing.T) {
	const unchanged, refused = "unchanged", "refused"
	for state, want := range map[shipping.State]struct {
		schedule, cancel string // the event, or the outcome of the answer
		next             [2]shipping.State
	}{
		shipping.None:                {scheduled, cancelled, [2]shipping.State{shipping.Scheduled, shipping.Cancelled}},
		shipping.AwaitingReservation: {scheduled, cancelled, [2]shipping.State{shipping.Scheduled, shipping.Cancelled}},
		shipping.AwaitingAddress:     {scheduled, cancelled, [2]shipping.State{shipping.Scheduled, shipping.Cancelled}},
		shipping.Scheduled:           {unchanged, cancelled, [2]shipping.State{shipping.Scheduled, shipping.Cancelled}},
		shipping.Failed:              {refused, unchanged, [2]shipping.State{shipping.Failed, shipping.Failed}},
		shipping.Dispatched:          {unchanged, rejected, [2]shipping.State{shipping.Dispatched, shipping.Dispatched}},
		shipping.Delivered:           {unchanged, rejected, [2]shipping.State{shipping.Delivered, shipping.Delivered}},
		shipping.Cancelled:           {refused, unchanged, [2]shipping.State{shipping.Cancelled, shipping.Cancelled}},
	} {
		t.Run("in "+string(state), func(t *testing.T) {
			f := newFixture(t)
			version := "@2"
			if state == shipping.None {
				version = "@1"
			}
			for i, command := range []string{"ScheduleShipment", "CancelShipment"} {
				order, before := f.in(state), len(f.carrier.Requests())
				outcome, cause := want.schedule, ""
				var err error
				if i == 0 {
					e := scheduleCommand(order)
					cause, err = e.ID.String(), deliver(f, OnScheduleShipment, e)
				} else {
					e := cancelCommand(order)
					outcome, cause, err = want.cancel, e.ID.String(), deliver(f, OnCancelShipment, e)
				}
				if err != nil {
					t.Fatal(err)
				}
				s, err := f.app.Shipment(t.Context(), order)
				if err != nil || s.State != want.next[i] || s.Saga != event.Orchestrated || s.Attention != "" {
					t.Errorf("%s: shipment %+v, %v, want %s", command, s, err, want.next[i])
				}
				asked := len(f.carrier.Requests()) > before
				if calls := slices.Contains([]string{scheduled, cancelled}, outcome); asked != calls {
					t.Errorf("%s: the carrier was asked: %t, want %t", command, asked, calls)
				}
				if outcome == unchanged || outcome == refused {
					f.wantPublished(order, published{Event: "ShipmentCommandAnswered" + version, Style: "orchestrated", Cause: cause})
					f.wantAnswer(order, &events.ShipmentCommandAnswered{
						OrderID: order, Command: command, Outcome: outcome, State: string(state), OccurredAt: noon,
					})
					continue
				}
				f.wantPublished(order, published{Event: outcome + version, Style: "orchestrated", Cause: cause})
			}
		})
	}
}

// wantAnswer compares the last event of an order.
func (f *fixture) wantAnswer(order string, want event.Event) {
	f.t.Helper()
	var payload []byte
	err := f.pool.QueryRow(f.t.Context(), `SELECT payload FROM outbox WHERE aggregate_id = $1 ORDER BY seq DESC LIMIT 1`, order).Scan(&payload)
	if err != nil {
		f.t.Fatal(err)
	}
	typ, _ := events.Catalogue().Lookup(want.EventType())
	got, err := f.codec.Decode(f.t.Context(), typ, payload)
	if err != nil {
		f.t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		f.t.Errorf("answer (-want +got):\n%s", diff)
	}
}

// TestAnOrchestratedParcelToItsDelivery: the tracking feed has no style, and its events have that of the
// order.
func TestAnOrchestratedParcelToItsDelivery(t *testing.T) {
	f := newFixture(t)
	f.do(f.scheduleShipment)
	f.carrier.Dispatch(t, Key(orderID), noon)
	f.do(f.track)
	f.carrier.Deliver(t, Key(orderID), noon)
	f.do(f.track)
	f.want(shipping.Delivered, scheduled, dispatched, delivered)
	for _, e := range f.published(orderID) {
		if e.Style != "orchestrated" {
			t.Errorf("%+v", e)
		}
	}
	s, err := f.app.Shipment(t.Context(), orderID)
	if err != nil || s.Address == nil || s.Address.Street != "123 Babbage Lane" || len(s.Items) != 2 {
		t.Errorf("shipment %+v, %v", s, err)
	}
}

// TestTheCarrierRefusesACommandsParcel: what answers the command is the event of the step.
func TestTheCarrierRefusesACommandsParcel(t *testing.T) {
	f := newFixture(t)
	f.carrier.Switch(carriertest.Switches{Refuse: "address_not_served"})
	f.do(f.scheduleShipment)
	f.want(shipping.Failed, failed)
}

// TestACancelCommandBeforeItsSchedule leaves a tombstone, here and at the carrier. The late command is
// refused without a call.
func TestACancelCommandBeforeItsSchedule(t *testing.T) {
	f := newFixture(t)
	f.do(f.cancelShipment)
	asked := f.carrier.Requests()
	f.do(f.scheduleShipment)
	f.want(shipping.Cancelled, cancelled, "ShipmentCommandAnswered")
	if diff := cmp.Diff(asked, f.carrier.Requests()); diff != "" || f.carrier.Status(Key(orderID)) != "cancelled" {
		t.Errorf("the carrier has %q and was asked (-before +after):\n%s", f.carrier.Status(Key(orderID)), diff)
	}
}

// TestACommandTooLate: the parcel has left and the feed has not been read. Each command is rejected once:
// one that comes again, when the inbox has forgotten it, is not answered a second time.
func TestACommandTooLate(t *testing.T) {
	f := newFixture(t)
	f.do(f.scheduleShipment)
	f.carrier.Dispatch(t, Key(orderID), noon)
	first := cancelCommand(orderID)
	again := func() error { return deliver(f, OnCancelShipment, first) }
	f.do(again, again)
	f.want(shipping.Dispatched, scheduled, dispatched, rejected)
	f.do(f.cancelShipment)
	f.want(shipping.Dispatched, scheduled, dispatched, rejected, rejected)
}

// TestAParcelLeavesBeforeItsBookingIsRecorded: the process died after the carrier took the parcel, and the
// feed is the first to report it. Its events have the style of the order, and the command is answered
// when it comes again.
func TestAParcelLeavesBeforeItsBookingIsRecorded(t *testing.T) {
	f := newFixture(t)
	e := scheduleCommand(orderID)
	if _, err := askFor(f, OnScheduleShipment, e); err != nil {
		t.Fatal(err)
	}
	f.carrier.Dispatch(t, Key(orderID), noon)
	f.do(f.track, func() error { return deliver(f, OnScheduleShipment, e) })
	f.want(shipping.Dispatched, scheduled, dispatched, "ShipmentCommandAnswered")
	for _, got := range f.published(orderID) {
		if got.Style != "orchestrated" {
			t.Errorf("%+v", got)
		}
	}
	if row := f.row(); row.Attention != "" || row.Address == nil {
		t.Errorf("row %+v", row)
	}
}

// TestAParcelThatIsBeingBooked is shown while the carrier is away, and has no state yet.
func TestAParcelThatIsBeingBooked(t *testing.T) {
	f := newFixture(t)
	f.carrier.Switch(carriertest.Switches{Down: true})
	wantTransient(t, f.scheduleShipment())
	s, err := f.app.Shipment(t.Context(), orderID)
	if want := (Shipment{OrderID: orderID, State: "NONE", Saga: event.Orchestrated, CreatedAt: noon, UpdatedAt: noon}); err != nil || !cmp.Equal(want, s) {
		t.Errorf("shipment %+v, %v, want %+v", s, err, want)
	}
	f.carrier.Switch(carriertest.Switches{})
	f.do(f.scheduleShipment)
	f.want(shipping.Scheduled, scheduled)
}

// TestScheduleAndCancelCommandsAtOnce: the carrier decided for the cancellation, and this process commits
// it first. The command to book is refused, so it is answered too.
func TestScheduleAndCancelCommandsAtOnce(t *testing.T) {
	f := newFixture(t)
	schedule, cancel := scheduleCommand(orderID), cancelCommand(orderID)
	var booked, calledOff carrier.Answer
	f.do(
		func() (err error) { booked, err = askFor(f, OnScheduleShipment, schedule); return err },
		func() (err error) { calledOff, err = askFor(f, OnCancelShipment, cancel); return err },
		func() error {
			return f.inTx(func(tx pgx.Tx) error { return react(f, tx, OnCancelShipment, cancel, calledOff) })
		},
		func() error {
			return f.inTx(func(tx pgx.Tx) error { return react(f, tx, OnScheduleShipment, schedule, booked) })
		},
	)
	f.want(shipping.Cancelled, cancelled, "ShipmentCommandAnswered")
}
