package shop

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"eventshop.example/pkg/events"
	"eventshop.example/proof/check"
	"eventshop.example/services/inventory/inventory"
	"eventshop.example/services/orchestrator/orchestrator"
	"eventshop.example/services/order/order"
	"eventshop.example/services/payment/payment"
	"eventshop.example/services/shipping/shipping"
)

// Tables are the decisions of the services. [Real] returns their own. A test puts a wrong one in
// their place to see that it is found.
type Tables struct {
	Order     func(order.Order, order.Message) order.Decision
	Payment   func(payment.State, payment.Input) payment.Decision
	Inventory func(inventory.State, inventory.Input) inventory.Decision
	Shipping  func(shipping.State, shipping.Input) shipping.Decision
	// Orchestrator is the table of the definition that the order's saga follows.
	Orchestrator func(orchestrator.Definition, orchestrator.State, orchestrator.Input) orchestrator.Decision
}

// Real returns the tables of the services.
func Real() Tables {
	return Tables{
		Order: order.Order.Decide, Payment: payment.Decide, Inventory: inventory.Decide, Shipping: shipping.Decide,
		Orchestrator: orchestrator.Decide,
	}
}

// Rules are the habits around the tables: what the services' app packages and pkg/consumer do. The
// zero value is what they really do. Each field is one mistake.
type Rules struct {
	// LostChargeDeclines takes a charge without an answer for a declined one.
	LostChargeDeclines bool
	// RefundKeyPerAttempt gives each attempt to refund a key of its own.
	RefundKeyPerAttempt bool
	// VoidOpens makes the gateway forget a void, so that a later charge with its key takes money.
	VoidOpens bool
	// CancelOpens makes the carrier forget the cancellation of a key that it does not know, so that a
	// later request ships a parcel.
	CancelOpens bool
	// Unsubscribed is a group and an event type that the group does not receive, joined by a space.
	Unsubscribed string
	// BothStyles is a group and an event type that the group does not ignore in the orchestrated
	// style, joined by a space.
	BothStyles string
	// ChargeKeyPerCommand gives each command to charge a key of its own.
	ChargeKeyPerCommand bool
}

// Bounds limit a world. Each fault can happen as often as its field says, in one run: up to 3 times,
// and Spent up to 2 times, which is what a world has room for.
type Bounds struct {
	Crashes    uint8 // a process ends between a call and its transaction, or between the transaction and the offset
	Duplicates uint8 // a relay publishes a record again; each record at most once
	Forgotten  uint8 // the inbox does not know a record that comes again, since its row was dropped; or a line of the carrier's feed comes again
	Lost       uint8 // an answer of the gateway or carrier gets lost, or the request arrives after its caller gave up
	Spent      uint8 // the allowed attempts to return money are used up
	Late       uint8 // the time limit of a state of the orchestrator passes
	Retries    uint8 // an operator has the orchestrator's last command sent again
}

// String lists the faults that can happen, such as "crashes 1, lost 2", or "no faults".
func (b Bounds) String() string {
	var out []string
	for _, bound := range []struct {
		name string
		most uint8
	}{{"crashes", b.Crashes}, {"duplicates", b.Duplicates}, {"forgotten", b.Forgotten}, {"lost", b.Lost}, {"spent", b.Spent}, {"late", b.Late}, {"retries", b.Retries}} {
		if bound.most > 0 {
			out = append(out, fmt.Sprintf("%s %d", bound.name, bound.most))
		}
	}
	if len(out) == 0 {
		return "no faults"
	}
	return strings.Join(out, ", ")
}

// Model is the system. [New] creates it; it does not change and is safe for concurrent use.
type Model struct {
	tables Tables
	rules  Rules

	facts    []string        // types of records, by number: events, then commands, then the answers to them
	topic    []uint8         // of each fact
	receives [styles][]uint8 // of each fact in each style: the groups that receive it, one bit each
	ends     uint64          // the facts that end an order, one bit each
	repeats  uint64          // the facts that an order can have more than once, one bit each
	commands uint64          // the facts that are commands, one bit each
	about    charge          // the facts about the charge
	released []orchestrator.Definition
	input    inputs
}

// The participants. Each is a consumer group. The services have a topic for their events, and in the
// orchestrated style one for their commands and one for their compensations.
const (
	orderService = iota
	paymentService
	inventoryService
	shippingService
	coordinator
	participants

	services = coordinator
	topics   = 3 * services // events of each service, then commands to each, then compensations
)

// names of the participants, as consumer groups and in the names of their topics.
var names = [participants]string{"order", "payment", "inventory", "shipping", "orchestrator"}

// charge has the numbers of the facts about an order's charge.
type charge struct{ commanded, completed, failed, voided, refunded uint8 }

// New returns the model with these tables and rules.
func New(tables Tables, rules Rules) *Model {
	m := &Model{tables: tables, rules: rules, released: orchestrator.Definitions()}
	for _, typ := range events.Catalogue().Types() {
		for p, name := range names[:services] {
			if typ.Topic == name+".events" && !answersCommands(typ.Name) {
				m.addFact(typ.Name, p)
			}
		}
	}
	m.addCommands()
	m.ends = m.bit("OrderCancelled") | m.bit("OrderDelivered")
	m.about = charge{m.fact("ChargePayment"), m.fact("PaymentCompleted"), m.fact("PaymentFailed"), m.fact("PaymentVoided"), m.fact("PaymentRefunded")}
	// One per round of attempts. Every other fact is true once per order.
	m.repeats |= m.bit("PaymentRefundFailed")
	return m
}

func (m *Model) addFact(name string, topic int) {
	m.facts, m.topic = append(m.facts, name), append(m.topic, uint8(topic))
	for style := range styles {
		groups, subscribers := uint8(0), m.subscribers(Style(style), name)
		for p, group := range names {
			if slices.Contains(subscribers, group) {
				groups |= 1 << p
			}
		}
		m.receives[style] = append(m.receives[style], groups)
	}
	m.input.add(name)
	if len(m.facts) > maxFacts {
		panic("shop: a World has no room for so many facts")
	}
}

// fact returns the number of an event type.
func (m *Model) fact(name string) uint8 {
	for i, f := range m.facts {
		if f == name {
			return uint8(i)
		}
	}
	panic(fmt.Sprintf("shop: %s is on no topic of a participant", name))
}

func (m *Model) bit(name string) uint64 { return 1 << m.fact(name) }

// System returns the model as a system for package check, with one or two orders of one piece each
// of the same SKU, whose sagas are coordinated in these ways. It begins once per number of pieces in
// stock. It panics at a definition that was not released.
func (m *Model) System(orders []Coordination, bounds Bounds, stock ...int8) check.System[World, Move] {
	sys := check.System[World, Move]{Steps: m.steps, Encode: encode, Broken: m.broken, AtRest: m.atRest}
	for _, pieces := range stock {
		w := World{orders: uint8(len(orders)), stock: pieces, available: pieces, left: bounds}
		for i, how := range orders {
			w.sagas[i].style, w.sagas[i].definition = how.Style, how.version()
			m.place(&w, i)
		}
		sys.Starts = append(sys.Starts, w)
	}
	return sys
}

// place accepts an order, by the order service's own command.
func (m *Model) place(w *World, i int) {
	placed, err := order.Place{
		OrderID: "order", Customer: order.Customer{ID: "customer", Name: "Ada", Email: "ada@example.com"},
		ShippingAddress: order.Address{Street: "1 Street", City: "London", PostalCode: "SW1A 1AA"},
		Items:           []order.Item{{SKU: sku, Quantity: 1, UnitPrice: 100}}, TotalAmount: 100, Currency: "GBP",
		At: time.Unix(0, 0), ConfirmWithin: time.Minute,
	}.Events()
	if err != nil {
		panic(fmt.Sprintf("shop: the order is not accepted: %v", err))
	}
	s := &w.sagas[i]
	s.payment.state, s.inventory, s.shipping.state = payment.None, inventory.None, shipping.None
	m.record(w, i, order.Order{}.Fold(placed...), placed)
}

// sku is what every order wants one piece of.
const sku = "SKU"

// steps appends the steps from a world.
func (m *Model) steps(w World, steps []step) []step {
	for i := range int(w.orders) {
		steps = m.orderSteps(w, i, steps)
		for topic := range topics {
			for group := range participants {
				if !w.sagas[i].heard(topic, group) { // here, because a call copies the world
					steps = m.deliverySteps(w, i, topic, group, steps)
				}
			}
		}
		steps = m.returnSteps(w, i, steps)
		steps = m.coordinatorSteps(w, i, steps)
		steps = m.outsideSteps(w, i, steps)
		steps = m.againSteps(w, i, steps)
	}
	return steps
}

type step = check.Step[World, Move]
